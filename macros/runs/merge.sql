{#- Whether one statement can write the increment: the model has no option that needs the adapter's own materialization. -#}
{% macro fits_one_statement() -%}
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

{#- Both adapters find the macros below before their own: their merge, with predicates on what may be matched. After a late change all versions of
    a row are computed again, and the merge also deletes those that the row no longer has. -#}

{% macro spark__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    {%- if replaces_versions() -%}
        {{ return(merge_that_replaces(target, source, unique_key)) }}
    {%- endif -%}
    {{ dbt.spark__get_merge_sql(target, source, unique_key, dest_columns, with_key_ranges(incremental_predicates)) }}
{%- endmacro %}

{% macro databricks__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    {%- if replaces_versions() -%}
        {{ return(merge_that_replaces(target, source, unique_key)) }}
    {%- endif -%}
    {{ dbt.databricks__get_merge_sql(target, source, unique_key, dest_columns, with_key_ranges(incremental_predicates)) }}
{%- endmacro %}

{#- Whether the model's query returns all versions of the changed rows. The table may have more of them. -#}
{% macro replaces_versions() -%}
    {{ return(is_history(model) and facts_of_this_model().get('late') is true) }}
{%- endmacro %}

{#- A merge that also deletes the versions of the source's rows that the source doesn't have. It is one statement, so no reader sees a row twice. -#}
{% macro merge_that_replaces(target, source, unique_key) -%}
    {%- set keys = unique_key | reject('equalto', 'version_number') | list -%}
    {%- set names = as_identifiers(adapter.get_columns_in_relation(target) | map(attribute='name') | list) | join(', ') -%}
    merge into {{ target }} as DBT_INTERNAL_DEST
    using (
        select {{ names }}, false as _cdc_is_gone
        from {{ source }}
        union all
        select {{ names }}, true as _cdc_is_gone
        from {{ target }} as kept
        left semi join {{ source }} as written on {{ same_key(keys, 'kept', 'written') }}
        left anti join {{ source }} as again on {{ same_key(unique_key, 'kept', 'again') }}
    ) as DBT_INTERNAL_SOURCE
    on {{ same_key(unique_key, 'DBT_INTERNAL_DEST', 'DBT_INTERNAL_SOURCE') }}
    when matched and DBT_INTERNAL_SOURCE._cdc_is_gone then delete
    when matched then update set *
    when not matched then insert *
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
