{#- While a transaction is open, two rows may have the same key: a deferrable primary key is checked at the end of the statement or of the
    transaction. A delete then need not be the end of the key, as another row may still have it. These macros find such deletes and tell
    them as an update to the row that is left, so that whatever reads the changes of a key in order is right. docs/decisions/0021 -#}

{#- Whether one of the new messages deletes a key that the same transaction created. Otherwise no two rows shared a key. A unit test gives
    it by `overrides`, as its messages are in no table. -#}
{% macro may_share_keys(bronze, facts, was_looked_at) -%}
    {%- if not execute or model.resource_type == 'unit_test' or (was_looked_at and not facts.deletes) -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set query -%}
        with

        {#- By the text alone, which costs less than JSON. What only looks like a delete or like its transaction does no harm. #}
        creates_and_deletes as (

            select
                key,
                cast(value as string) rlike '"op"\\s*:\\s*"c"' as may_create,
                cast(value as string) rlike '"op"\\s*:\\s*"d"' as may_delete,
                explode(regexp_extract_all(cast(value as string), '"txId"\\s*:\\s*([0-9]+)', 1)) as tx_id
            from {{ bronze }}
            where
                cast(value as string) rlike '"op"\\s*:\\s*"[cd]"'
                {%- if was_looked_at %}
                and {{ after_offsets(facts.offsets) }}
                and {{ up_to_offsets(facts.landed) }}
                {%- endif %}

        ),

        pairs as (

            select tx_id
            from creates_and_deletes
            group by key, tx_id
            having max(may_create) and max(may_delete)
            {%- if is_incremental() %}

            {#- A transaction whose first part came in an earlier run. #}
            union all

            select creates_and_deletes.tx_id
            from creates_and_deletes
            inner join {{ this }} as known
                on
                    try_cast(creates_and_deletes.tx_id as bigint) = known._cdc_tx_id
                    and known._cdc_op = 'c'
            where creates_and_deletes.may_delete
            {%- endif %}

        )

        select 1 from pairs
        limit 1
    {%- endset -%}
    {{ return(run_query(query).rows | length > 0) }}
{%- endmacro %}

{#- CTEs that end in `changes_with_rows_left`: the new changes of a CTE, in which a delete that leaves another row with its key is an update to
    that row. The CTE has the model's columns, `_cdc_row_before` (the row before the change, typed) and `_cdc_record` (the message). -#}
{% macro changes_with_rows_left(columns, keys, new_changes) -%}
    {%- set row = columns | map(attribute='name') | join(', ') -%}
    {{ histories_of_shared_keys(columns, keys, new_changes, row) }},

    -- Change after change, the rows that have the key, and what each delete leaves of them.
    rows_left as (

        select inline(aggregate(
            changes,
            struct(
                filter(changes, change -> false) as having_key,
                transform(
                    filter(changes, change -> false),
                    change -> struct(change._cdc_change_id as change_id, change._cdc_unavailable as unavailable, change.whole_row as whole_row)
                ) as left_by
            ),
            (known, change) -> transform(
                array({{ rows_having_key('known.having_key', 'change') }}),
                having_key -> struct(
                    having_key,
                    if(
                        change._cdc_op = 'd' and size(having_key) > 0,
                        concat(known.left_by, array(struct(
                            change._cdc_change_id as change_id,
                            having_key[size(having_key) - 1]._cdc_unavailable as unavailable,
                            having_key[size(having_key) - 1].whole_row as whole_row
                        ))),
                        known.left_by
                    ) as left_by
                )
            )[0]
        ).left_by)
        from histories

    ),

    changes_with_rows_left as (

        select
            {%- for column in columns %}
            if(rows_left.change_id is null, new_changes.{{ column.name }}, rows_left.whole_row.{{ column.name }}) as {{ column.name }},
            {%- endfor %}
            {%- for column in change_metadata() if column.name not in ('_cdc_op', '_cdc_unavailable', '_cdc_message') %}
            new_changes.{{ column.name }},
            {%- endfor %}
            if(rows_left.change_id is null, new_changes._cdc_op, 'u') as _cdc_op,
            if(rows_left.change_id is null, new_changes._cdc_unavailable, rows_left.unavailable) as _cdc_unavailable,
            if(rows_left.change_id is null, new_changes._cdc_message, new_changes._cdc_record) as _cdc_message
        from {{ new_changes }} as new_changes
        left join rows_left on new_changes._cdc_change_id = rows_left.change_id

    )
{%- endmacro %}

{#- CTEs that end in `histories`: of each key that two rows may share, all its changes in order, in an array. -#}
{% macro histories_of_shared_keys(columns, keys, new_changes, row) -%}
    {%- set told = '_cdc_change_id, _cdc_lsn, _cdc_commit_lsn, _cdc_tx_id, _cdc_topic_life, _cdc_partition, _cdc_offset, _cdc_reset, _cdc_unavailable, '
        ~ '_cdc_error, _ingested_at' -%}
    known_changes as (

        select
            {{ row }},
            {{ told }},
            _cdc_op,
            _cdc_row_before,
            true as _cdc_is_new
        from {{ new_changes }}
        {%- if is_incremental() %}

        union all

        select
            {{ row }},
            {{ told }},
            -- What was told as an update to the row that is left was a delete.
            if(_cdc_message is null, _cdc_op, 'd') as _cdc_op,
            {{ typed_row(columns, "from_json(_cdc_before, 'map<string, string>')", "cast(null as map<string, struct<name: string, scale: string>>)") }}
                as _cdc_row_before,
            false as _cdc_is_new
        from {{ this }}
        {%- endif %}

    ),

    shared_keys as (

        select distinct {{ key_columns(keys) }}
        from known_changes
        group by {{ key_columns(keys) }}, _cdc_tx_id
        having
            max(_cdc_op = 'c')
            and max(_cdc_op = 'd' and _cdc_is_new)

    ),

    -- All that happened to these keys. What emptied the table happened to each of them.
    key_changes as (

        select
            known_changes.*,
            0 as _cdc_step
        from known_changes
        left semi join shared_keys on {{ same_key(keys, 'known_changes', 'shared_keys') }}
        where known_changes._cdc_error is null

        union all

        select
            {%- for column in columns %}
            {{ 'shared_keys' if column.name in keys else 'known_changes' }}.{{ column.name }},
            {%- endfor %}
            {%- for name in told.split(', ') %}
            known_changes.{{ name }},
            {%- endfor %}
            known_changes._cdc_reset as _cdc_op,
            known_changes._cdc_row_before,
            known_changes._cdc_is_new,
            1 as _cdc_step
        from known_changes
        cross join shared_keys
        where known_changes._cdc_reset is not null

    ),

    places as (

        {{ with_places('key_changes', keys) }}

    ),

    histories as (

        select
            array_sort(array_agg(struct(
                _cdc_place,
                _cdc_step,
                _cdc_op,
                _cdc_lsn,
                _cdc_change_id,
                _cdc_unavailable,
                struct({{ row }}) as whole_row,
                _cdc_row_before
            ))) as changes
        from places
        group by {{ key_columns(keys) }}

    )
{%- endmacro %}

{#- The rows that have a key after a change, of those that had it before: an array of their newest changes, oldest first. An update or a delete
    tells by the row before it which of them it is about. Where it can't tell, as under the default replica identity, there is one. -#}
{% macro rows_having_key(rows, change) -%}
    {%- set place = 'array_position(transform(' ~ rows ~ ', one -> one.whole_row <=> ' ~ change ~ '._cdc_row_before), true)' -%}
    {%- set others = 'filter(' ~ rows ~ ', (one, index) -> ' ~ place ~ ' > 0 and index + 1 <> ' ~ place ~ ')' -%}
    case {{ change }}._cdc_op
        when 'c' then concat({{ rows }}, array({{ change }}))
        when 'r' then array({{ change }})
        when 'u' then concat({{ others }}, array({{ change }}))
        when 'd' then {{ others }}
        -- The end of a whole snapshot: what it did not find is gone.
        when 'snapshot' then filter({{ rows }}, one -> one._cdc_op = 'r' and one._cdc_lsn = {{ change }}._cdc_lsn)
        else filter({{ rows }}, one -> false)
    end
{%- endmacro %}

{#- The row that a map of fields holds, in the declared types: a struct. -#}
{% macro typed_row(columns, fields, schemas) -%}
    struct(
        {%- for column in columns %}
        {%- set schema = schemas ~ '[' ~ quoted(column.field) ~ ']' %}
        {{ decode_value(
            fields ~ '[' ~ quoted(column.field) ~ ']', column.data_type, schema ~ '.name', schema ~ '.scale', column.get('options', {})
        ) }}
            as {{ column.name }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}
