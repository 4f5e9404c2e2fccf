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
