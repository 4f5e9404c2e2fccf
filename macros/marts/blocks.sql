{#- The block of keys that a row falls into: the least key that the block may hold, a multiple of its size. -#}
{% macro key_block(key, size) -%}
    cast({{ key }} as bigint) - pmod(cast({{ key }} as bigint), {{ size }})
{%- endmacro %}

{#- The blocks of keys in which a parent holds something that the model has not read: a list of ranges, for the model's query and its merge, which
    has the block in the column `first_<key>`. Empty, which stands for all, on a first run. -#}
{% macro changed_key_blocks(parent, key, size) -%}
    {%- if not execute or not is_incremental() or not has_news() -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set query -%}
        select array_join(sort_array(collect_set(concat(first_key, ' and ', first_key + {{ size - 1 }}))), ',') as blocks
        from (
            select {{ key_block(key, size) }} as first_key
            from {{ parent }}
            where {{ newer_than_this() }}
        )
    {%- endset -%}
    {%- set found = run_query(query).rows[0]['blocks'] -%}
    {%- set blocks = found.split(',') if found else [no_key()] -%}
    {%- do facts_of_this_model().update({'numbered_key': 'first_' ~ key, 'ranges': blocks}) -%}
    {{ return(blocks) }}
{%- endmacro %}
