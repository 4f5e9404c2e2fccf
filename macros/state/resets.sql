{#- CTEs that end in `resets`: one row with an array of all that ever said that everything older in the table is gone, truncates and
    whole snapshots. There are few, and the engine skips the files of `all_changes` that hold none. -#}
{% macro resets(has_new, after_lsn=none) -%}
    {%- if has_new -%}
    -- From where on the rows that a new snapshot read stand on each partition.
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
            left semi join (select _cdc_lsn from new_changes where _cdc_reset = 'snapshot') as ended
                on all_changes._cdc_lsn = ended._cdc_lsn
            where all_changes._cdc_op = 'r'
            group by all_changes._cdc_lsn, all_changes._cdc_partition
        )
        group by _cdc_lsn

    ),

    {% endif -%}
    resets as (

        select
            array_agg(struct(
                all_changes._cdc_reset,
                all_changes._cdc_op,
                all_changes._cdc_lsn,
                all_changes._cdc_commit_lsn,
                all_changes._cdc_committed_at,
                all_changes._cdc_partition,
                all_changes._cdc_offset,
                all_changes._ingested_at,
                all_changes._cdc_topic_life,
                {{ 'snapshot_starts.starts' if has_new else 'cast(null as map<int, struct<_cdc_topic_life: int, _cdc_offset: bigint>>) as starts' }}
            )) as _cdc_resets
        from all_changes
        {%- if has_new %}
        left join snapshot_starts
            on
                all_changes._cdc_lsn = snapshot_starts._cdc_lsn
                and all_changes._cdc_reset = 'snapshot'
        {%- endif %}
        where
            all_changes._cdc_reset is not null
            {%- if after_lsn is number %}
            -- What is older concerns none of the changes that came.
            and all_changes._cdc_lsn > {{ after_lsn }}
            {%- endif %}

    )
{%- endmacro %}

{#- Condition on a row's newest change that `reset`, one of `resets`, ended the row. Places in the log tell it, but for the first
    transaction that is streamed after a snapshot: it may have written before the snapshot's place and committed after it. Such a
    change is seen to come after by its place on a partition; of a snapshot of an earlier run that isn't asked any more. -#}
{% macro is_older_than_reset() -%}
    greatest(_cdc_lsn, _cdc_commit_lsn) < reset._cdc_lsn
    and case
        when reset._cdc_reset = 'truncate' then true
        when reset.starts is null then _cdc_lsn <> _cdc_commit_lsn
        else coalesce(struct(_cdc_topic_life, _cdc_offset) < reset.starts[_cdc_partition], true)
    end
{%- endmacro %}

{#- CTEs that end in `ended_rows`: the rows that changed, and the rows that a new reset deletes. A row is deleted if a reset came after its newest change. -#}
{% macro ended_rows(columns, keys, values, rare) -%}
    {{ resets(rare.new_resets, rare.lowest_lsn) }},

    in_question as (

        select
            *,
            true as _cdc_has_moved
        from moved
        {%- if is_incremental() and rare.new_resets %}

        union all

        -- Rows that did not move. Only a new reset can concern them.
        select
            {{ key_columns(keys, 'existing.') }},
            {%- for column in values %}
            existing.{{ column.name }},
            {%- endfor %}
            existing.is_deleted,
            {%- for name in state_metadata() %}
            existing.{{ name }},
            {%- endfor %}
            existing._cdc_unavailable,
            false as _cdc_has_moved
        from existing
        left anti join moved on {{ same_key(keys, 'existing', 'moved') }}
        where not existing.is_deleted
        {%- endif %}

    ),

    judged as (

        select
            in_question.*,
            array_max(transform(
                filter(resets._cdc_resets, reset -> {{ is_older_than_reset() }}),
                reset -> struct(reset._cdc_lsn{% for name in state_metadata() if name != '_cdc_lsn' %}, reset.{{ name }}{% endfor %})
            )) as _cdc_ended_by
        from in_question
        cross join resets

    ),

    ended_rows as (

        select
            {%- for column in columns %}
            {{ column.name }},
            {%- endfor %}
            is_deleted or _cdc_ended_by is not null as is_deleted,
            {%- for name in state_metadata() %}
            if(_cdc_ended_by is null, {{ name }}, _cdc_ended_by.{{ name }}) as {{ name }},
            {%- endfor %}
            _cdc_unavailable
        from judged
        where
            _cdc_has_moved
            or _cdc_ended_by is not null

    )
{%- endmacro %}
