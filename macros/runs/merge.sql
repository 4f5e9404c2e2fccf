{#- Whether one statement can write the increment: the model has no option that needs the adapter's own materialization. -#}
{% macro is_plain() -%}
    {%- set asked = ['predicates', 'incremental_predicates', 'merge_update_columns', 'merge_exclude_columns', 'sql_header'] -%}
    {%- for name in asked if config.get(name) -%}
        {{ return(false) }}
    {%- endfor -%}
    {%- if config.get('on_schema_change') in ['append_new_columns', 'sync_all_columns'] -%}
        {{ return(false) }}
    {%- elif config.get('incremental_strategy') == 'append' -%}
        {{ return(true) }}
    {%- endif -%}
    {#- A recursive query keeps dbt-spark's temporary view. #}
    {{ return(config.get('incremental_strategy') == 'merge' and config.get('unique_key') and not facts_of_this_model().get('renames')) }}
{%- endmacro %}

{#- Append or merge the rows of the model's query, by the columns' names. -#}
{% macro write_in_one_statement(sql) -%}
    {{ run_hooks(pre_hooks) }}
    {%- call statement('main') -%}
        {%- if config.get('incremental_strategy') == 'append' -%}
            insert into {{ this }} by name
            {{ sql }}
        {%- else -%}
            merge into {{ this }} as DBT_INTERNAL_DEST
            using (
                {{ sql }}
            ) as DBT_INTERNAL_SOURCE
            on
                {%- for column in ([config.get('unique_key')] if config.get('unique_key') is string else config.get('unique_key')) %}
                DBT_INTERNAL_DEST.{{ column }} = DBT_INTERNAL_SOURCE.{{ column }} and
                {%- endfor %}
                {{ (with_key_ranges([]) or ['true']) | join(' and ') }}
            when matched then update set *
            when not matched then insert *
        {%- endif -%}
    {%- endcall -%}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [this]}) }}
{%- endmacro %}

{#- Both adapters find the macros below before their own: their merge, with the ranges that all keys of the batch are in. -#}

{% macro spark__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    {{ dbt.spark__get_merge_sql(target, source, unique_key, dest_columns, with_key_ranges(incremental_predicates)) }}
{%- endmacro %}

{% macro databricks__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    {{ dbt.databricks__get_merge_sql(target, source, unique_key, dest_columns, with_key_ranges(incremental_predicates)) }}
{%- endmacro %}

{#- A merge's predicates, with the ranges that all keys of the batch are in, where they were found out, and for a history that only current versions
    change: the engine then looks for them only in the files that may have them. -#}
{% macro with_key_ranges(incremental_predicates) -%}
    {%- set facts = facts_of_this_model() -%}
    {%- set predicates = (incremental_predicates or []) | list -%}
    {%- if facts.get('ranges') -%}
        {%- do predicates.append(in_ranges('DBT_INTERNAL_DEST.' ~ facts.numbered_key, facts.ranges)) -%}
    {%- endif -%}
    {%- if facts.get('merges_current_versions') -%}
        {%- do predicates.append('DBT_INTERNAL_DEST.is_current') -%}
    {%- endif -%}
    {{ return(predicates or none) }}
{%- endmacro %}

{#- A range that no key is in. -#}
{% macro no_key() -%}
    {{ return('1 and 0') }}
{%- endmacro %}

{#- Condition that a key is in one of some ranges; true where there are none. -#}
{% macro in_ranges(key, ranges) -%}
    {%- if not ranges -%}
        true
    {%- else -%}
        (
            {%- for range in ranges -%}
                {{ key }} between {{ range }}{{ ' or ' if not loop.last }}
            {%- endfor -%}
        )
    {%- endif -%}
{%- endmacro %}
