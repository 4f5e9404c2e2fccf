{#- The state that the newest changes leave each row in, deletes folded into is_deleted: one row per key that moved, in the columns that
    the base model declares. Rare cases are in files of their own, and are in the query only when the new changes need them. -#}
{% macro current_state(changes, key) -%}
    {%- set columns = as_identifiers(declared_columns(of=changes.identifier)) -%}
    {%- set keys = as_identifiers([key] if key is string else key) -%}
    {%- set values = columns | rejectattr('name', 'in', keys) | list -%}
    {%- set rare = rarities(changes, keys) -%}
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

    {{ retold_changes(keys) }},
    {%- endif %}
    {%- if rare.renames %}

    {{ complete_changes(columns, keys, 'retold_changes' if rare.late else 'new_changes') }},
    {%- endif %}

    {{ newest_changes('complete_changes' if rare.renames else 'new_changes', keys, values) }},

    {{ moved_rows(keys, values, rare) }},

    {%- if rare.resets %}

    {{ ended_rows(columns, keys, values, rare) }},
    {%- endif %}

    final as (

        select
            {%- for column in columns %}
            {{ column.name }},
            {%- endfor %}
            is_deleted,
            {%- for name in state_metadata() %}
            {{ name }},
            {%- endfor %}
            _cdc_unavailable,
            {{ run_number() }} as _run_number,
            {{ loaded_at() }} as _loaded_at
        from {{ 'ended_rows' if rare.resets else 'moved' }}

    )

    select * from final
{%- endmacro %}

{#- What a row's state keeps of the change that made it: a list of names. -#}
{% macro state_metadata() -%}
    {{ return([
        '_cdc_op', '_cdc_lsn', '_cdc_commit_lsn', '_cdc_committed_at', '_cdc_topic_life', '_cdc_partition', '_cdc_offset', '_ingested_at'
    ]) }}
{%- endmacro %}

{#- CTEs that end in `newest`: of each key of some changes the newest change, and the newest value of each column. -#}
{% macro newest_changes(changes, keys, values) -%}
    placed as (

        {{ with_places(changes, keys) }}
        where _cdc_op <> 't'

    ),

    newest as (

        select
            {{ key_columns(keys) }},
            max_by(
                struct(_cdc_op, _cdc_lsn, _cdc_committed_at, _cdc_topic_life, _cdc_partition, _cdc_offset, _ingested_at),
                _cdc_place
            ) as _cdc_change,
            max(_cdc_place).clock as _cdc_clock
            {#- What the row holds: a delete says nothing about it, and a large value left as it was is in an earlier change. #}
            {%- for column in values %},
            max_by(struct({{ column.name }} as value, {{ lacks(column) }} as is_unknown), _cdc_place) filter (
                where _cdc_op <> 'd' and not (_cdc_op = 'u' and {{ lacks(column) }})
            ) as {{ column.name }}
            {%- endfor %}
        from placed
        group by {{ key_columns(keys) }}

    )
{%- endmacro %}

{#- CTEs that end in `moved`: the rows that the newest changes make of those that the model's table has. -#}
{% macro moved_rows(keys, values, rare) -%}
    {%- if is_incremental() -%}
    existing as (

        select * from {{ this }}
        {%- if rare.ranges %}
        where {{ in_ranges(rare.numbered_key, rare.ranges) }}
        {%- endif %}

    ),

    {% endif -%}
    moved as (

        select
            {{ key_columns(keys, 'newest.') }},
            {%- for column in values %}
            {%- if is_incremental() %}
            if(newest.{{ column.name }} is null, existing.{{ column.name }}, newest.{{ column.name }}.value) as {{ column.name }},
            {%- else %}
            newest.{{ column.name }}.value as {{ column.name }},
            {%- endif %}
            {%- endfor %}
            newest._cdc_change._cdc_op = 'd' as is_deleted,
            newest._cdc_change._cdc_op,
            newest._cdc_change._cdc_lsn,
            {%- if is_incremental() %}
            greatest(newest._cdc_clock._cdc_commit_lsn, existing._cdc_commit_lsn) as _cdc_commit_lsn,
            {%- else %}
            newest._cdc_clock._cdc_commit_lsn,
            {%- endif %}
            newest._cdc_change._cdc_committed_at,
            newest._cdc_change._cdc_topic_life,
            newest._cdc_change._cdc_partition,
            newest._cdc_change._cdc_offset,
            newest._cdc_change._ingested_at,
            {{ unknown_values(values, keys) }} as _cdc_unavailable
        from newest
        {%- if is_incremental() %}
        left join existing on {{ same_key(keys, 'newest', 'existing') }}
        -- A replayed event keeps its original LSN, so it never replaces a newer row.
        where
            existing.{{ keys[0] }} is null
            or case
                when newest._cdc_change._cdc_partition = existing._cdc_partition
                    then struct(newest._cdc_change._cdc_topic_life, newest._cdc_change._cdc_offset)
                        >= struct(existing._cdc_topic_life, existing._cdc_offset)
                else newest._cdc_clock >= struct(existing._cdc_commit_lsn, existing._cdc_lsn)
            end
        {%- endif %}

    )
{%- endmacro %}

{#- Condition on a change: it leaves out this column's value, which is large and was left as it was. -#}
{% macro lacks(column, relation='') -%}
    {%- if is_toastable(column) -%}
        (array_contains({{ relation }}_cdc_unavailable, {{ column.literal }}) is true)
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{#- Names of the columns whose value is not known: the bank has one that no change ever told. NULL when all are known. -#}
{% macro unknown_values(values, keys) -%}
    nullif(
        array_compact(array(
            {%- for column in values if is_toastable(column) %}
            case
                when newest.{{ column.name }} is not null
                    then if(newest.{{ column.name }}.is_unknown, {{ column.literal }}, null)
                {%- if is_incremental() %}
                when existing.{{ keys[0] }} is not null
                    then if({{ lacks(column, 'existing.') }}, {{ column.literal }}, null)
                {%- endif %}
                when newest._cdc_change._cdc_op <> 'd' then {{ column.literal }}
            end,
            {%- endfor %}
            cast(null as string)
        )),
        array()
    )
{%- endmacro %}
