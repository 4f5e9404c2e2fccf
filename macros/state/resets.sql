{#- CTEs that end in `with_endings`: the changes of `placed`, and a delete for each row that a truncate or a whole snapshot ended. It follows the last of
    the row's changes that are older, unless that one is a delete. A whole snapshot doesn't end the rows that it read. -#}
{% macro with_endings(columns, keys, kept) -%}
    {{ resets() }},

    ended as (

        select
            {{ key_columns(keys) }},
            any_value(_cdc_resetting) as _cdc_resetting,
            max(struct(_cdc_place, is_deleted)) filter (where {{ is_older_than_reset() }}) as _cdc_last_older,
            bool_or(
                _cdc_resetting._cdc_reset = 'snapshot' and _cdc_op = 'r' and _cdc_lsn = _cdc_resetting._cdc_lsn and not is_deleted
            ) as _cdc_was_read
        from placed
        cross join resets
        lateral view posexplode(resets._cdc_resets) as _cdc_reset_number, _cdc_resetting
        group by {{ key_columns(keys) }}, _cdc_reset_number

    ),

    -- Only the first of several resets ends a row.
    endings as (

        select
            {{ key_columns(keys) }},
            _cdc_last_older._cdc_place,
            min_by(_cdc_resetting, _cdc_resetting._cdc_lsn) as _cdc_resetting
        from ended
        where
            not _cdc_last_older.is_deleted
            and not _cdc_was_read
        group by {{ key_columns(keys) }}, _cdc_last_older._cdc_place

    ),

    with_endings as (

        select
            *,
            cast(-1 as bigint) as _cdc_ended_at
        from placed

        union all

        select
            {%- for column in columns %}
            {{ column.name if column.name in keys else 'cast(null as ' ~ column.data_type ~ ')' }} as {{ column.name }},
            {%- endfor %}
            true as is_deleted,
            {%- for name in state_metadata() %}
            _cdc_resetting.{{ name }},
            {%- endfor %}
            cast(null as array<string>) as _cdc_unavailable,
            {%- for column in kept %}
            cast(null as {{ column.data_type }}) as {{ column.name }},
            {%- endfor %}
            false as _cdc_is_known,
            _cdc_place,
            _cdc_resetting._cdc_lsn as _cdc_ended_at
        from endings

    )
{%- endmacro %}

{#- CTEs that end in `resets`: one row with an array of all that ever emptied the table, truncates and whole snapshots. There are few, and the engine
    skips the files of `all_changes` that hold none. -#}
{% macro resets() -%}
    -- For each whole snapshot and partition, the place of the first row that it read.
    snapshot_starts as (

        select
            _cdc_lsn,
            map_from_entries(array_agg(struct(_cdc_partition, place))) as starts
        from (
            select
                all_changes._cdc_lsn,
                all_changes._cdc_partition,
                min(struct(all_changes._cdc_topic_life, all_changes._cdc_offset)) as place
            from all_changes
            left semi join (select _cdc_lsn from all_changes where _cdc_reset = 'snapshot') as ended
                on all_changes._cdc_lsn = ended._cdc_lsn
            where all_changes._cdc_op = 'r'
            group by all_changes._cdc_lsn, all_changes._cdc_partition
        )
        group by _cdc_lsn

    ),

    resets as (

        select
            array_agg(struct(
                all_changes._cdc_reset,
                {%- for name in state_metadata() %}
                all_changes.{{ name }},
                {%- endfor %}
                snapshot_starts.starts
            )) as _cdc_resets
        from all_changes
        left join snapshot_starts
            on
                all_changes._cdc_lsn = snapshot_starts._cdc_lsn
                and all_changes._cdc_reset = 'snapshot'
        where all_changes._cdc_reset is not null

    )
{%- endmacro %}

{#- Condition on a change that a reset, `_cdc_resetting`, came after it. A truncate locks the table until its commit, so the order of changes (docs/decisions/0003)
    is exact, also within its own transaction. The rows of a whole snapshot name no commit, so LSNs are compared. The first transaction that is
    streamed after the snapshot is an exception: it may have written before the snapshot's LSN and committed after it. Its changes have offsets
    after the snapshot's rows on their partition. Where the partition has no such rows, and the topic was not made again since, a change is of that
    transaction if its message names no commit before it (`_cdc_lsn = _cdc_commit_lsn`). -#}
{% macro is_older_than_reset() -%}
    case
        when _cdc_resetting._cdc_reset = 'truncate' and _cdc_partition = _cdc_resetting._cdc_partition
            then struct(_cdc_topic_life, _cdc_offset) < struct(_cdc_resetting._cdc_topic_life, _cdc_resetting._cdc_offset)
        when _cdc_resetting._cdc_reset = 'truncate'
            then struct(_cdc_commit_lsn, _cdc_lsn) < struct(_cdc_resetting._cdc_commit_lsn, _cdc_resetting._cdc_lsn)
        else
            greatest(_cdc_lsn, _cdc_commit_lsn) < _cdc_resetting._cdc_lsn
            and coalesce(
                struct(_cdc_topic_life, _cdc_offset) < _cdc_resetting.starts[_cdc_partition],
                _cdc_topic_life < _cdc_resetting._cdc_topic_life or _cdc_lsn <> _cdc_commit_lsn or _cdc_op = 'r'
            )
    end
{%- endmacro %}
