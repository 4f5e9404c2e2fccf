{#- Whether a new change is not newer than the row that the model's table has, or may have a value that a row lacks since it got a new primary key.
    `found` is what `rarities` knows of the new changes. If all are on one partition, and behind all that the table has of it, none is late. -#}
{% macro has_late(changes, keys, found, existing_is_concerned) -%}
    {%- set facts = facts_of_this_model() -%}
    {%- if facts.is_lacking and lacks_what_was_brought_along(changes, keys) -%}
        {{ return(true) }}
    {%- elif not found.several_partitions and found.first_place > facts.last_place -%}
        {{ return(false) }}
    {%- elif found.first_reset_lsn is not none and found.first_reset_lsn < facts.last_lsn -%}
        {#- The table was emptied before some change that an earlier run read. A truncate has no key to join by. #}
        {{ return(true) }}
    {%- endif -%}
    {%- set query -%}
        select{{ ' /*+ merge(new_changes) */' if found.many_changes or facts.row_count > max_rows_to_broadcast() }} 1
        from {{ changes }} as new_changes
        inner join {{ this }} as existing on {{ same_key(keys, 'new_changes', 'existing') }}
        where
            new_changes.{{ newer_than_this() }}
            and new_changes._cdc_error is null
            and {{ existing_is_concerned }}
            {%- if is_history(model) %}
            and existing.is_current
            {%- endif %}
            and {{ is_late('new_changes', 'existing') }}
        limit 1
    {%- endset -%}
    {{ return(run_query(query).rows | length > 0) }}
{%- endmacro %}

{#- Condition that a new change is not newer than the row that is there. Either it was on another partition, which was behind, or the base model was
    built again, so that all its changes are new. -#}
{% macro is_late(change, existing) -%}
    case
        when {{ change }}._cdc_partition = {{ existing }}._cdc_partition
            then struct({{ change }}._cdc_topic_life, {{ change }}._cdc_offset) <= struct({{ existing }}._cdc_topic_life, {{ existing }}._cdc_offset)
        {#- They are equal if a whole snapshot ended the row, and its reading of the row came on a partition that was behind. #}
        else struct({{ change }}._cdc_commit_lsn, {{ change }}._cdc_lsn) <= struct({{ existing }}._cdc_commit_lsn, {{ existing }}._cdc_lsn)
    end
{%- endmacro %}

{#- CTEs that end in `changes_of_changed_rows`: all changes of each row that has a new one. The same of each row that got a new primary key and left out a
    large value, as the change that has it may be new. If there is a new reset, all changes of all rows. -#}
{% macro changes_of_changed_rows(keys, rare) -%}
    changes_of_changed_rows as (

        select{{ ' /*+ merge(changed_rows) */' if rare.many_changes and not rare.new_resets }} * from all_changes
        {%- if not rare.new_resets %}
        left semi join (
            select {{ key_columns(keys) }}
            from all_changes
            where
                {{ newer_than_this() }}
                or (_cdc_op = 'c' and _cdc_unavailable is not null)
        ) as changed_rows on {{ same_key(keys, 'all_changes', 'changed_rows') }}
        {%- endif %}

    )
{%- endmacro %}
