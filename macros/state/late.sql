{#- Whether a new change is not newer than the row that the model's table has, or may have a value that a row lacks since it got a new primary key.
    `found` has what `rarities` asked of the new changes. If they are all on one partition, and after all that the table has of it, none is late. -#}
{% macro has_late(changes, keys, found, existing_is_concerned) -%}
    {%- set facts = facts_of_this_model() -%}
    {%- if facts.is_lacking and lacks_what_was_brought_along(changes, keys) -%}
        {{ return(true) }}
    {%- elif not found.several_partitions and found.first_place > facts.last_place -%}
        {{ return(false) }}
    {%- elif found.first_reset_lsn is not none and found.first_reset_lsn < facts.last_lsn -%}
        {#- What emptied the table came after changes that are newer. It has no key to join by. #}
        {{ return(true) }}
    {%- endif -%}
    {%- set query -%}
        select 1
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

{#- Condition that a new change is not newer than the row that is there: it was on another partition, which was behind, or the base model was built
    again and has the row's changes as new ones. -#}
{% macro is_late(change, existing) -%}
    case
        when {{ change }}._cdc_partition = {{ existing }}._cdc_partition
            then struct({{ change }}._cdc_topic_life, {{ change }}._cdc_offset) <= struct({{ existing }}._cdc_topic_life, {{ existing }}._cdc_offset)
        {#- Equal where a whole snapshot read a row, and ended it before, as the row's partition was behind. #}
        else struct({{ change }}._cdc_commit_lsn, {{ change }}._cdc_lsn) <= struct({{ existing }}._cdc_commit_lsn, {{ existing }}._cdc_lsn)
    end
{%- endmacro %}

{#- CTEs that end in `retold_changes`: all changes of each row that has a new one, or that brought values along from another key, as their change may
    have come late. Of all rows, if there is a new reset. -#}
{% macro retold_changes(keys, rare) -%}
    retold_changes as (

        select * from all_changes
        {%- if not rare.new_resets %}
        left semi join (
            select {{ key_columns(keys) }}
            from all_changes
            where
                {{ newer_than_this() }}
                or (_cdc_op = 'c' and _cdc_unavailable is not null)
        ) as retold on {{ same_key(keys, 'all_changes', 'retold') }}
        {%- endif %}

    )
{%- endmacro %}
