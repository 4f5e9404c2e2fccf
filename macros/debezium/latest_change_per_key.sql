{#- The state that the newest changes leave each key in, deletes and truncates folded into is_deleted. One row per key that moved. -#}
{% macro latest_change_per_key(changes, key) -%}
    {%- set columns = declared_columns() | rejectattr('name', 'equalto', key) | list -%}
    with

    rows_changed as (

        select * from {{ changes }}
        where _cdc_op <> 't'

    ),

    -- Empty but for the rare run that sees a truncate; the engine then reads nothing more for it.
    truncates as (

        select * from {{ changes }}
        where _cdc_op = 't'
        order by _cdc_lsn desc
        limit 1

    ),

    newest as (

        select
            {{ key }},
            max_by(struct(_cdc_op as op, _cdc_lsn as lsn, _cdc_committed_at as committed_at), {{ change_place() }}) as change,
            max({{ change_place() }}) as place,
            {#- What the row holds: a delete says nothing about it, and a large value left as it was is in an earlier change. #}
            {%- for column in columns %}
            max_by(struct({{ column.name }}), {{ change_place() }}) filter (
                where _cdc_op <> 'd' and array_contains(_cdc_unavailable, '{{ column.name }}') is not true
            ) as {{ column.name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from rows_changed
        group by {{ key }}

    ),

    {%- if is_incremental() %}

    existing as (

        select * from {{ this }}

    ),
    {%- endif %}

    moved as (

        select
            newest.{{ key }},
            {%- for column in columns %}
            {%- if is_incremental() %}
            case
                when newest.{{ column.name }} is not null then newest.{{ column.name }}.{{ column.name }}
                else existing.{{ column.name }}
            end as {{ column.name }},
            {%- else %}
            newest.{{ column.name }}.{{ column.name }} as {{ column.name }},
            {%- endif %}
            {%- endfor %}
            newest.change.op = 'd' or coalesce(newest.change.lsn < truncates._cdc_lsn, false) as is_deleted,
            newest.change.op as _cdc_op,
            newest.change.lsn as _cdc_lsn,
            newest.change.committed_at as _cdc_committed_at,
            newest.place._cdc_offset,
            newest.place._ingested_at
        from newest
        left join truncates on true
        {%- if is_incremental() %}
        left join existing on newest.{{ key }} = existing.{{ key }}
        -- What is not newer than the row that is there changes nothing.
        where
            existing.{{ key }} is null
            or newest.place > {{ change_place('existing') }}
        {%- endif %}

    )

    {%- if is_incremental() %},

    truncated as (

        select
            existing.{{ key }},
            {%- for column in columns %}
            existing.{{ column.name }},
            {%- endfor %}
            true as is_deleted,
            truncates._cdc_op,
            truncates._cdc_lsn,
            truncates._cdc_committed_at,
            truncates._cdc_offset,
            truncates._ingested_at
        from truncates
        inner join existing on truncates._cdc_lsn > existing._cdc_lsn
        left anti join moved on existing.{{ key }} = moved.{{ key }}
        where not existing.is_deleted

    )

    select * from moved
    union all
    select * from truncated
    {%- else %}

    select * from moved
    {%- endif %}
{%- endmacro %}
