{#- Both adapters find the macros below before their own: their merge, with the ranges that all keys of the batch are in. -#}

{% macro spark__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    {{ dbt.spark__get_merge_sql(target, source, unique_key, dest_columns, with_key_ranges(incremental_predicates)) }}
{%- endmacro %}

{% macro databricks__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    {{ dbt.databricks__get_merge_sql(target, source, unique_key, dest_columns, with_key_ranges(incremental_predicates)) }}
{%- endmacro %}

{#- A merge's predicates, with the ranges that all keys of the batch are in, where they were found out: the engine then looks for them
    only in the files that may have them. -#}
{% macro with_key_ranges(incremental_predicates) -%}
    {%- set facts = facts_of_this_run(model.unique_id) -%}
    {%- if not facts.get('ranges') -%}
        {{ return(incremental_predicates) }}
    {%- endif -%}
    {{ return((incremental_predicates or []) + [in_ranges('DBT_INTERNAL_DEST.' ~ facts.numbered_key, facts.ranges)]) }}
{%- endmacro %}
