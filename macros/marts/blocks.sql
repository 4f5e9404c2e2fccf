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
    {%- set blocks = key_blocks_of_this_run(parent, key, size) -%}
    {%- if not blocks -%}
        {%- do blocks.extend(asked_key_blocks(parent, key, size)) -%}
    {%- endif -%}
    {%- do facts_of_this_model().update({'numbered_key': 'first_' ~ key, 'ranges': blocks}) -%}
    {{ return(blocks) }}
{%- endmacro %}

{#- The blocks that this run changed in the parent. No query is needed: `rarities` found the ranges of their keys when the parent ran. Empty if they are
    not known: `rarities` found a rare case, a range is over more than ten blocks, or the parent has rows of an earlier run that the model has not read. -#}
{% macro key_blocks_of_this_run(parent, key, size) -%}
    {%- set parents, blocks = facts_of(parent), [] -%}
    {%- if parents.get('numbered_key') == key and parents.read_up_to <= read_up_to() -%}
        {%- for key_range in parents.get('ranges', []) if key_range != no_key() -%}
            {%- set first, last = (key_range.split(' and ')[0] | int) // size, (key_range.split(' and ')[1] | int) // size -%}
            {%- if last - first > 10 -%}
                {{ return([]) }}
            {%- endif -%}
            {%- for number in range(first, last + 1) -%}
                {%- do blocks.append((number * size) ~ ' and ' ~ (number * size + size - 1)) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(blocks | unique | list) }}
{%- endmacro %}

{#- The blocks in which the parent has rows that the model has not read, by one query. -#}
{% macro asked_key_blocks(parent, key, size) -%}
    {%- set query -%}
        select array_join(sort_array(collect_set(concat(first_key, ' and ', first_key + {{ size - 1 }}))), ',') as blocks
        from (
            select {{ key_block(key, size) }} as first_key
            from {{ parent }}
            where {{ newer_than_this() }}
        )
    {%- endset -%}
    {%- set found = run_query(query).rows[0]['blocks'] -%}
    {{ return(found.split(',') if found else [no_key()]) }}
{%- endmacro %}
