{#- The block that a row with this key falls into, told by the least key that the block may hold. -#}
{% macro first_of_block(key, size) -%}
    cast({{ key }} as bigint) - pmod(cast({{ key }} as bigint), {{ size }})
{%- endmacro %}

{#- The blocks of keys in which a parent holds something newer than the model: a list of ranges, which the model's query tells the engine,
    and its merge of its own column `first_<key>`. Empty, which stands for all, on a first run. -#}
{% macro changed_blocks(parent, key, size) -%}
    {%- if not execute or model.resource_type == 'unit_test' or not is_incremental() or not has_news() -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set query -%}
        select array_join(sort_array(collect_set(concat(first_key, ' and ', first_key + {{ size - 1 }}))), ',') as blocks
        from (
            select {{ first_of_block(key, size) }} as first_key
            from {{ parent }}
            where {{ newer_than_this() }}
        )
    {%- endset -%}
    {%- set found = run_query(query).rows[0]['blocks'] -%}
    {%- set blocks = found.split(',') if found else [] -%}
    {%- do facts_of_this_run(model.unique_id).update({'numbered_key': 'first_' ~ key, 'ranges': blocks}) -%}
    {{ return(blocks) }}
{%- endmacro %}

{#- What the rows of a parent come to, by group and block of its keys. Of the blocks in which something changed, the groups that did.
    A row that is deleted counts for nothing, but is a change. -#}
{% macro sums_of_blocks(parent, key, size, groups, sums, count) -%}
    {%- set blocks = changed_blocks(parent, key, size) -%}
    {%- set first_key = 'first_' ~ key -%}
    {%- set keys = (groups | list) + [first_key] -%}
    {%- set figures = (sums | list) + [count] -%}
    with

    in_changed_blocks as (

        select * from {{ parent }}
        where {{ key_in_ranges(parent.identifier, key, blocks) }}

    ),

    totals as (

        select
            {%- for name, expression in groups.items() %}
            {{ expression }} as {{ name }},
            {%- endfor %}
            {{ first_of_block(key, size) }} as {{ first_key }},
            {%- for name, expression in sums.items() %}
            sum({{ expression }}) filter (where not is_deleted) as {{ name }},
            {%- endfor %}
            count_if(not is_deleted) as {{ count }},
            {{ 'max(_loaded_at) > ' ~ newest('_loaded_at') if is_incremental() else 'true' }} as has_changed
        from in_changed_blocks
        where
            {%- for expression in groups.values() %}
            {{ 'and ' if not loop.first }}({{ expression }}) is not null
            {%- endfor %}
        group by {{ groups.values() | join(', ') }}, {{ first_of_block(key, size) }}

    ),

    {% if is_incremental() -%}
    existing as (

        select * from {{ this }}
        where {{ key_in_ranges(this.identifier, first_key, blocks) }}

    ),

    -- A group that a row was moved away from has no change of its own, but fewer rows.
    compared as (

        select
            {%- for column in keys %}
            coalesce(totals.{{ column }}, existing.{{ column }}) as {{ column }},
            {%- endfor %}
            {%- for column in figures %}
            totals.{{ column }},
            {%- endfor %}
            coalesce(totals.has_changed, false)
            or coalesce(totals.{{ count }}, 0) <> existing.{{ count }} as has_changed
        from totals
        full join existing
            on
                {%- for column in keys %}
                {{ 'and ' if not loop.first }}totals.{{ column }} = existing.{{ column }}
                {%- endfor %}

    ),
    {%- endif %}

    final as (

        select
            {%- for column in keys %}
            {{ column }},
            {%- endfor %}
            {%- for column in figures %}
            coalesce({{ column }}, 0) as {{ column }},
            {%- endfor %}
            {{ loaded_at() }} as _loaded_at
        from {{ 'compared' if is_incremental() else 'totals' }}
        where has_changed

    )

    select * from final
{%- endmacro %}
