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

{#- CTEs that end in `complete_changes`: the changes of a CTE, with the large values that a row brought along to a new primary key. Debezium
    tells an update of the key as a delete of the old and a create of the new, with one place in the log, and the create leaves out
    what the update left as it was. It was told under the old key, or one before that. -#}
{% macro complete_changes(columns, keys, new_changes) -%}
    {%- set large_values = [] -%}
    {%- for column in columns if is_toastable(column) and column.name not in keys -%}
        {%- do large_values.append(column) -%}
    {%- endfor -%}
    {{ tellings_of_renames(keys, new_changes) }},

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
            {%- for name in ['_cdc_op', '_cdc_lsn', '_cdc_commit_lsn', '_cdc_committed_at', '_cdc_topic_life', '_cdc_partition', '_cdc_offset', '_ingested_at'] %}
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

{#- CTEs that end in `tellings`: of each large value that a renamed row left out, the newest change under the old key that tells it, or says that it came
    along from a key before. -#}
{% macro tellings_of_renames(keys, new_changes) -%}
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

    )
{%- endmacro %}
