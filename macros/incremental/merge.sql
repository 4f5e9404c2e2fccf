{#- dbt's merge updates and inserts. A mart also loses rows: those of a model's batch that meet its `delete_when` (a condition on
    the batch's row, in `meta`) are removed from the table, in the same statement. Both adapters find the macros below before their
    own, and go on to their own when a model doesn't say `delete_when`. -#}

{% macro spark__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    {%- if config.get('meta', {}).get('delete_when') -%}
        {{ merge_or_delete_sql(target, source, unique_key) }}
    {%- else -%}
        {{ dbt.spark__get_merge_sql(target, source, unique_key, dest_columns, with_key_ranges(incremental_predicates)) }}
    {%- endif -%}
{%- endmacro %}

{% macro databricks__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    {%- if config.get('meta', {}).get('delete_when') -%}
        {{ merge_or_delete_sql(target, source, unique_key) }}
    {%- else -%}
        {{ dbt.databricks__get_merge_sql(target, source, unique_key, dest_columns, with_key_ranges(incremental_predicates)) }}
    {%- endif -%}
{%- endmacro %}

{#- A merge's predicates, with the ranges that all keys of the batch are in, where they were found out: the engine then looks for them
    only in the files that may have them. -#}
{% macro with_key_ranges(incremental_predicates) -%}
    {%- set facts = facts_of_this_run(model.unique_id) -%}
    {%- if not facts.get('ranges') -%}
        {{ return(incremental_predicates) }}
    {%- endif -%}
    {{ return((incremental_predicates or []) + [key_in_ranges('DBT_INTERNAL_DEST', facts.numbered_key, facts.ranges)]) }}
{%- endmacro %}

{#- One MERGE that makes the target's rows of the batch's keys equal to the batch. -#}
{% macro merge_or_delete_sql(target, source, unique_key) -%}
    {%- set is_gone = config.get('meta').delete_when -%}
    merge into {{ target }} as target
    using (select *, {{ is_gone }} as _is_gone from {{ source }}) as batch
    on target.{{ unique_key }} = batch.{{ unique_key }}
    when matched and batch._is_gone then delete
    when matched then update set *
    when not matched and not batch._is_gone then insert *
{%- endmacro %}
