{#- CTEs that end in `states`: what each row holds after each of its changes. They start from the row that the model's table has; if it has none, from
    the row's first change. A row of `states` has its key, each other column as a struct of `value` and `is_unknown`, and `is_deleted`.
    `_cdc_place` orders the changes; `_cdc_is_known` marks the row that the table has. `kept` are further columns of that row,
    a list of {name, data_type}. The rare cases are in the query only when the new changes need them. -#}
{% macro states_after_changes(changes, columns, keys, rare, kept=[]) -%}
    {%- set values = columns | rejectattr('name', 'in', keys) | list -%}
    with{{ ' recursive' if rare.renames }}

    all_changes as (

        select * from {{ changes }}
        where _cdc_error is null

    ),

    new_changes as (

        select * from all_changes
        {%- if is_incremental() %}
        where {{ newer_than_this() }}
        {%- endif %}

    ),

    {%- if rare.late %}

    {{ changes_of_changed_rows(keys, rare) }},
    {%- endif %}
    {%- if rare.renames %}

    {{ complete_changes(columns, keys, 'changes_of_changed_rows' if rare.late else 'new_changes') }},
    {%- endif %}

    known_and_new as (

        select
            {%- for column in columns %}
            {{ column.name }},
            {%- endfor %}
            _cdc_op = 'd' as is_deleted,
            {%- for name in state_metadata() %}
            {{ name }},
            {%- endfor %}
            _cdc_unavailable,
            {%- for column in kept %}
            cast(null as {{ column.data_type }}) as {{ column.name }},
            {%- endfor %}
            false as _cdc_is_known
        from {{ 'complete_changes' if rare.renames else 'changes_of_changed_rows' if rare.late else 'new_changes' }}
        where _cdc_op <> 't'
        {%- if is_incremental() and not rare.late %}

        union all

        select{{ ' /*+ merge(new_changes) */' if rare.many_changes and not rare.new_resets }}
            {%- for column in columns %}
            {{ column.name }},
            {%- endfor %}
            is_deleted,
            {%- for name in state_metadata() %}
            {{ name }},
            {%- endfor %}
            _cdc_unavailable,
            {%- for column in kept %}
            {{ column.name }},
            {%- endfor %}
            true as _cdc_is_known
        from {{ this }} as known
        {%- if not rare.new_resets %}
        left semi join new_changes on {{ same_key(keys, 'known', 'new_changes') }}
        {%- endif %}
        where
            {{ 'is_current' if kept else 'true' }}
            {%- if rare.ranges %}
            and {{ in_ranges('known.' ~ rare.numbered_key, rare.ranges) }}
            {%- endif %}
        {%- endif %}

    ),

    {%- if not rare.in_offset_order %}

    placed as (

        {{ with_places('known_and_new', keys) }}

    ),
    {%- endif %}
    {%- if rare.resets %}

    {{ with_endings(columns, keys, kept) }},
    {%- endif %}

    states as (

        select
            {%- for name in keys %}
            {{ name }},
            {%- endfor %}
            {%- for column in values %}
            {{ value_after_change(column, keys, rare) }} as {{ column.name }},
            {%- endfor %}
            is_deleted,
            {%- for name in state_metadata() %}
            {{ 'max(_cdc_commit_lsn) ' ~ up_to_here(keys, rare) ~ ' as ' if name == '_cdc_commit_lsn' }}{{ name }},
            {%- endfor %}
            {%- for column in kept %}
            {{ column.name }},
            {%- endfor %}
            {%- if not rare.in_offset_order %}
            _cdc_place,
            {%- endif %}
            {%- if rare.resets %}
            _cdc_ended_at,
            {%- endif %}
            _cdc_is_known
        from {{ 'with_endings' if rare.resets else 'known_and_new' if rare.in_offset_order else 'placed' }}

    )
{%- endmacro %}

{#- A column's value after a change, a struct of `value` and `is_unknown`. A delete has no value, and an update may leave out a large one. Then the
    value before is carried on. NULL if no change had one. -#}
{% macro value_after_change(column, keys, rare) -%}
    {%- set has_value = '_cdc_is_known or not is_deleted' -%}
    {%- if is_toastable(column) -%}
        {%- set has_value = '_cdc_is_known or (not is_deleted and not (_cdc_op = \'u\' and ' ~ lacks(column) ~ '))' -%}
    {%- endif -%}
    last_value(
        if({{ has_value }}, struct({{ column.name }} as value, {{ lacks(column) }} as is_unknown), null), true
    ) {{ up_to_here(keys, rare) }}
{%- endmacro %}

{#- Condition on a change: it leaves out this column's value, which is large and was left as it was. -#}
{% macro lacks(column) -%}
    {%- if is_toastable(column) -%}
        (array_contains(_cdc_unavailable, {{ column.literal }}) is true)
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{#- Names of the columns of a row of `states` whose value is not known: no change ever had it. NULL when all are known. -#}
{% macro unknown_values(columns, keys) -%}
    nullif(
        array_compact(array(
            {%- for column in columns if is_toastable(column) and column.name not in keys %}
            if({{ column.name }}.is_unknown is true or ({{ column.name }} is null and not is_deleted), {{ column.literal }}, null),
            {%- endfor %}
            cast(null as string)
        )),
        array()
    )
{%- endmacro %}

{#- The window of a row's changes, in order. -#}
{% macro in_order(keys, rare) -%}
    partition by {{ key_columns(keys) }}
    order by not _cdc_is_known, {{ '_cdc_topic_life, _cdc_offset' if rare.in_offset_order else '_cdc_place' }}{{ ', _cdc_ended_at' if rare.resets }}
{%- endmacro %}

{#- The same, up to the change. -#}
{% macro up_to_here(keys, rare) -%}
    over ({{ in_order(keys, rare) }} rows between unbounded preceding and current row)
{%- endmacro %}

{#- What a row's state keeps of the change that made it: a list of names. -#}
{% macro state_metadata() -%}
    {{ return([
        '_cdc_op', '_cdc_lsn', '_cdc_commit_lsn', '_cdc_committed_at', '_cdc_topic_life', '_cdc_partition', '_cdc_offset', '_ingested_at'
    ]) }}
{%- endmacro %}
