{#- Whether a new change arrived after a newer one of its row, or may have a value that a row lacks since it got a new primary key. `found` has the
    `first_partition` and `last_partition` of the new changes. If all changes are on one partition, none can be late. -#}
{% macro has_late(changes, keys, found, existing_is_concerned) -%}
    {%- set facts = facts_of_this_model() -%}
    {%- if facts.is_lacking and lacks_what_was_brought_along(changes, keys) -%}
        {{ return(true) }}
    {%- elif found['first_partition'] == found['last_partition'] and not facts.partitions | reject('equalto', found['first_partition']) | list -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set query -%}
        select 1
        from {{ changes }} as new_changes
        inner join {{ this }} as existing on {{ same_key(keys, 'new_changes', 'existing') }}
        where
            new_changes.{{ newer_than_this() }}
            and new_changes._cdc_error is null
            and {{ existing_is_concerned }}
            and {{ is_late('new_changes', 'existing') }}
        limit 1
    {%- endset -%}
    {{ return(run_query(query).rows | length > 0) }}
{%- endmacro %}

{#- Condition that a new change is older than the row that is there: on another partition, which was behind. -#}
{% macro is_late(change, existing) -%}
    {{ change }}._cdc_partition <> {{ existing }}._cdc_partition
    and struct({{ change }}._cdc_commit_lsn, {{ change }}._cdc_lsn) < struct({{ existing }}._cdc_commit_lsn, {{ existing }}._cdc_lsn)
{%- endmacro %}

{#- CTEs that end in `retold_changes`: the new changes, and all the earlier ones of each row for which one came late, as it may tell a large
    value that a newer one left out, or which brought values along from another key, as that one may have come late. -#}
{% macro retold_changes(keys) -%}
    retold_keys as (

        select {{ key_columns(keys, 'new_changes.') }}
        from new_changes
        inner join {{ this }} as existing on {{ same_key(keys, 'new_changes', 'existing') }}
        where {{ is_late('new_changes', 'existing') }}

        union

        select {{ key_columns(keys) }}
        from all_changes
        where
            _cdc_op = 'c'
            and _cdc_unavailable is not null

    ),

    retold_changes as (

        select * from new_changes

        union all

        select all_changes.*
        from all_changes
        left semi join retold_keys on {{ same_key(keys, 'all_changes', 'retold_keys') }}
        where not {{ newer_than_this() }}

    )
{%- endmacro %}
