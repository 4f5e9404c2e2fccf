{#- The state that the newest changes leave each row in, deletes folded into is_deleted: one row per key that moved, in the columns that
    the base model declares. -#}
{% macro current_state(changes, key) -%}
    {%- set columns = as_identifiers(declared_columns(of=changes.identifier)) -%}
    {%- set keys = as_identifiers([key] if key is string else key) -%}
    {%- set values = columns | rejectattr('name', 'in', keys) | list -%}
    {%- set rare = rarities(changes, keys) -%}
    {%- set metadata = ['_cdc_op', '_cdc_lsn', '_cdc_commit_lsn', '_cdc_committed_at', '_cdc_partition', '_cdc_offset', '_ingested_at'] -%}
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

    placed as (

        {{ with_places('complete_changes' if rare.renames else 'new_changes', keys) }}
        where _cdc_op <> 't'

    ),

    newest as (

        select
            {{ key_columns(keys) }},
            max_by(
                struct(_cdc_op, _cdc_lsn, _cdc_committed_at, _cdc_partition, _cdc_offset, _ingested_at), _cdc_place
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

    ),

    {%- if is_incremental() %}

    existing as (

        select * from {{ this }}
        {%- if rare.ranges %}
        where {{ in_ranges(rare.numbered_key, rare.ranges) }}
        {%- endif %}

    ),
    {%- endif %}

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
            newest._cdc_change._cdc_partition,
            newest._cdc_change._cdc_offset,
            newest._cdc_change._ingested_at,
            {{ unknown_values(values, keys) }} as _cdc_unavailable,
            true as _cdc_has_moved
        from newest
        {%- if is_incremental() %}
        left join existing on {{ same_key(keys, 'newest', 'existing') }}
        -- A replayed event keeps its original LSN, so it never replaces a newer row.
        where
            existing.{{ keys[0] }} is null
            or case
                when newest._cdc_change._cdc_partition = existing._cdc_partition
                    then struct(newest._cdc_change._ingested_at, newest._cdc_change._cdc_offset)
                        >= struct(existing._ingested_at, existing._cdc_offset)
                else newest._cdc_clock >= struct(existing._cdc_commit_lsn, existing._cdc_lsn)
            end
        {%- endif %}

    ),

    {{ resets(rare.resets, rare.lowest_lsn) }},

    in_question as (

        select * from moved
        {%- if is_incremental() and rare.resets %}

        union all

        -- Rows that did not move. Only a new reset can concern them.
        select
            {{ key_columns(keys, 'existing.') }},
            {%- for column in values %}
            existing.{{ column.name }},
            {%- endfor %}
            existing.is_deleted,
            {%- for name in metadata %}
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
                reset -> struct({% for name in ['_cdc_lsn'] + metadata | reject('equalto', '_cdc_lsn') | list %}reset.{{ name }}{{ ', ' if not loop.last }}{% endfor %})
            )) as _cdc_ended_by
        from in_question
        cross join resets

    ),

    final as (

        select
            {%- for column in columns %}
            {{ column.name }},
            {%- endfor %}
            is_deleted or _cdc_ended_by is not null as is_deleted,
            {%- for name in metadata %}
            if(_cdc_ended_by is null, {{ name }}, _cdc_ended_by.{{ name }}) as {{ name }},
            {%- endfor %}
            _cdc_unavailable,
            {{ loaded_at() }} as _loaded_at
        from judged
        where
            _cdc_has_moved
            or _cdc_ended_by is not null

    )

    select * from final
{%- endmacro %}

{#- What the new changes hold that is rare, and would make the query slow to plan: a dict of whether there are `renames`, rows that
    brought large values along to a new primary key, `resets`, and `late` ones: changes that came after newer ones of their row, or a
    row that still lacks a value that it brought along. Both need two partitions, of which one was behind. Where none of these is,
    what is to be read is told in literals, by which the engine skips files: `ranges` of keys, and the `lowest_lsn`. -#}
{% macro rarities(changes, keys) -%}
    {%- if not execute or load_relation(changes) is none or (is_incremental() and not has_news()) -%}
        {{ return({'renames': false, 'resets': false, 'late': false}) }}
    {%- endif -%}
    {%- set numbered = (keys | select('in', numeric_columns(changes)) | first) if is_incremental() else none -%}
    {%- set query -%}
        with

        new_changes as (

            select * from {{ changes }}
            where
                _cdc_error is null
                {%- if is_incremental() %}
                and {{ newer_than_this() }}
                {%- endif %}

        ),

        {%- if numbered %}

        bounds as (

            select
                min({{ numbered }}) as lowest,
                max({{ numbered }}) as highest
            from new_changes

        ),
        {%- endif %}

        {#- Ranges without the wide gaps between them: keys that are scattered over the table are near to few others. #}
        ranges as (

            select
                {%- if numbered %}
                concat(min(new_changes.{{ numbered }}), ' and ', max(new_changes.{{ numbered }})) as key_range,
                {%- else %}
                cast(null as string) as key_range,
                {%- endif %}
                max(new_changes._cdc_op = 'c' and new_changes._cdc_unavailable is not null) as renames,
                max(new_changes._cdc_reset is not null) as resets,
                min(greatest(new_changes._cdc_lsn, new_changes._cdc_commit_lsn)) as lowest_lsn,
                min(new_changes._cdc_partition) as first_partition,
                max(new_changes._cdc_partition) as last_partition
            from new_changes
            {%- if numbered %}
            cross join bounds
            group by width_bucket(new_changes.{{ numbered }}, bounds.lowest, cast(bounds.highest as double) + 1, 64)
            {%- endif %}

        )

        select
            coalesce(max(renames), false) as renames,
            coalesce(max(resets), false) as resets,
            min(lowest_lsn) as lowest_lsn,
            min(first_partition) as first_partition,
            max(last_partition) as last_partition,
            array_join(array_agg(key_range), ',') as ranges
        from ranges
    {%- endset -%}
    {%- set found = run_query(query).rows[0] -%}
    {%- set ranges = found['ranges'].split(',') if found['ranges'] else [] -%}
    {%- set late = is_incremental() and found['first_partition'] is not none and has_late(changes, keys, found, in_ranges('existing.' ~ numbered, ranges)) -%}
    {%- set is_rare = found['renames'] or found['resets'] or late -%}
    {%- set rare = {
        'renames': found['renames'] or late,
        'resets': found['resets'],
        'late': late,
        'numbered_key': numbered,
        'ranges': [] if is_rare else ranges,
        'lowest_lsn': none if is_rare else found['lowest_lsn'],
    } -%}
    {%- do facts_of_this_run(model.unique_id).update(rare) -%}
    {{ return(rare) }}
{%- endmacro %}

{#- Names of the columns that hold whole numbers. -#}
{% macro numeric_columns(changes) -%}
    {{ return(as_identifiers(declared_columns(of=changes.identifier))
        | selectattr('data_type', 'in', ['tinyint', 'smallint', 'int', 'bigint']) | map(attribute='name') | list) }}
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

{#- Whether a new change came after a newer one of its row, or a row of the model lacks a value that it brought along to a new primary
    key, which a new change may tell. `found` has the `first_partition` and `last_partition` of the new changes: where no row's change
    was on another one, as with topics of one partition, the engine sees it by what it keeps of each file. -#}
{% macro has_late(changes, keys, found, existing_is_concerned) -%}
    {%- set is_elsewhere = '_cdc_partition <> ' ~ found['first_partition'] if found['first_partition'] == found['last_partition'] else 'true' -%}
    {%- set query -%}
        select
            exists(select 1 from {{ this }} where {{ is_elsewhere }}) as is_elsewhere,
            exists(select 1 from {{ this }} where _cdc_unavailable is not null) as is_lacking
    {%- endset -%}
    {%- set rows = run_query(query).rows[0] -%}
    {%- if rows['is_lacking'] and lacks_what_was_brought_along(changes, keys) -%}
        {{ return(true) }}
    {%- elif not rows['is_elsewhere'] -%}
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

{#- Whether a row of the model lacks a value that it brought along to a new primary key: a new change may tell it. -#}
{% macro lacks_what_was_brought_along(changes, keys) -%}
    {%- set query -%}
        select 1
        from {{ this }} as existing
        inner join {{ changes }} as renamed on {{ same_key(keys, 'existing', 'renamed') }}
        where
            existing._cdc_unavailable is not null
            and renamed._cdc_op = 'c'
            and renamed._cdc_unavailable is not null
        limit 1
    {%- endset -%}
    {{ return(run_query(query).rows | length > 0) }}
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

{#- CTEs that end in `complete_changes`: the changes of a CTE, with the large values that a row brought along to a new primary key. Debezium
    tells an update of the key as a delete of the old and a create of the new, with one place in the log, and the create leaves out
    what the update left as it was. It was told under the old key, or one before that. -#}
{% macro complete_changes(columns, keys, new_changes) -%}
    {%- set large_values = [] -%}
    {%- for column in columns if is_toastable(column) and column.name not in keys -%}
        {%- do large_values.append(column) -%}
    {%- endfor -%}
    new_renames as (

        select _cdc_change_id from {{ new_changes }}
        where
            _cdc_op = 'c'
            and _cdc_unavailable is not null

    ),

    renames as (

        select
            _cdc_change_id,
            _cdc_lsn,
            _cdc_tx_id,
            explode(_cdc_unavailable) as column_name
        from all_changes
        left semi join new_renames on true
        where
            _cdc_op = 'c'
            and _cdc_unavailable is not null

    ),

    -- Of each value, the newest change under the old key that tells it, or says that it came along from a key before.
    tellings as (

        select
            renames._cdc_change_id,
            renames.column_name,
            max_by(
                struct(
                    earlier._cdc_change_id,
                    array_contains(earlier._cdc_unavailable, renames.column_name) is true as is_rename
                ),
                struct(earlier._cdc_commit_lsn, earlier._cdc_lsn)
            ) as telling
        from renames
        inner join all_changes as gone
            on
                renames._cdc_lsn = gone._cdc_lsn
                and renames._cdc_tx_id = gone._cdc_tx_id
                and gone._cdc_op = 'd'
        inner join all_changes as earlier
            on
                {{ same_key(keys, 'gone', 'earlier') }}
                and struct(earlier._cdc_commit_lsn, earlier._cdc_lsn) < struct(gone._cdc_commit_lsn, gone._cdc_lsn)
                and earlier._cdc_op <> 'd'
                and not (
                    earlier._cdc_op = 'u'
                    and array_contains(earlier._cdc_unavailable, renames.column_name) is true
                )
        group by renames._cdc_change_id, renames.column_name

    ),

    -- Follow key changes back, at most 90 steps: Spark's recursion limit is 100.
    chains (_cdc_change_id, column_name, telling, steps) as (

        select
            tellings._cdc_change_id,
            tellings.column_name,
            tellings.telling,
            0
        from tellings
        left semi join new_renames on tellings._cdc_change_id = new_renames._cdc_change_id

        union all

        select
            chains._cdc_change_id,
            chains.column_name,
            tellings.telling,
            chains.steps + 1
        from chains
        inner join tellings
            on
                chains.telling._cdc_change_id = tellings._cdc_change_id
                and chains.column_name = tellings.column_name
        where
            chains.telling.is_rename
            and chains.steps < 90

    ),

    carried as (

        select
            chains._cdc_change_id,
            {%- for column in large_values %}
            any_value(told.{{ column.name }}) filter (where chains.column_name = {{ column.literal }}) as {{ column.name }},
            {%- endfor %}
            collect_set(chains.column_name) as _cdc_column_names
        from chains
        inner join all_changes as told on chains.telling._cdc_change_id = told._cdc_change_id
        where not chains.telling.is_rename
        group by chains._cdc_change_id

    ),

    complete_changes as (

        select
            {%- for column in columns %}
            {%- if column in large_values %}
            if(array_contains(carried._cdc_column_names, {{ column.literal }}), carried.{{ column.name }}, new_changes.{{ column.name }})
                as {{ column.name }},
            {%- else %}
            new_changes.{{ column.name }},
            {%- endif %}
            {%- endfor %}
            {%- for name in ['_cdc_op', '_cdc_lsn', '_cdc_commit_lsn', '_cdc_committed_at', '_cdc_partition', '_cdc_offset', '_ingested_at'] %}
            new_changes.{{ name }},
            {%- endfor %}
            if(
                carried._cdc_column_names is null,
                new_changes._cdc_unavailable,
                nullif(array_except(new_changes._cdc_unavailable, carried._cdc_column_names), array())
            ) as _cdc_unavailable
        from {{ new_changes }} as new_changes
        left join carried on new_changes._cdc_change_id = carried._cdc_change_id

    )
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
