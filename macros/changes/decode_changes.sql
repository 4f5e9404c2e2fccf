{#- Every change that one Bronze table's messages tell, one typed row each, in the columns the calling model declares. -#}
{% macro decode_changes(bronze, key) -%}
    {%- set columns = declared_columns() -%}
    {%- set key_fields = [key] if key is string else key -%}
    {%- set identified_columns = as_identifiers(columns) -%}
    {%- set keys = identified_columns | selectattr('field', 'in', key_fields) | map(attribute='name') | list -%}
    {%- if not bronze_exists(bronze) -%}
        {{ no_changes(columns) }}
    {%- else -%}
        {%- set facts = facts_of_this_model() -%}
        {%- set was_looked_at = is_incremental() or facts.get('reads_all') -%}
        {%- set share_keys = may_share_keys(bronze, facts, was_looked_at) -%}
        {%- set is_plain = was_looked_at and facts.get('is_plain') -%}
        with

        landed as (

            select * from {{ bronze }}
            {%- if was_looked_at %}
            where
                {{ after_offsets(facts.offsets) }}
                -- Not what lands meanwhile: this batch was looked at.
                and {{ up_to_offsets(facts.landed) }}
            {%- endif %}

        ),

        parsed as (

            {{ parsed_messages('landed', is_plain) }}

        ),

        described as (

            select
                *,
                {{ 'cast(null as map<string, struct<name: string, scale: string>>)' if is_plain else field_schemas() }} as _field_schemas,
                map_keys(_message.after) as _fields
            from parsed

        ),

        typed as (

            {{ typed_messages(columns, key_fields, 'described', share_keys) }}

        ),

        identified as (

            select
                *,
                if(_cdc_error is null, _change_id, {{ error_id() }}) as _cdc_change_id,
                if(_cdc_error is not null, _record, null) as _cdc_message
            from (
                select
                    *,
                    {{ decoding_error(columns, key_fields) }} as _cdc_error
                from typed
            )

        ),

        -- After a crash Debezium sends a stretch again, and after a lost checkpoint ingestion lands one again. A change counts
        -- where it stood first, as its place tells its order.
        first_sightings as (

            select
                *,
                {#- With row_number() = 1 Spark sorts all rows once more before the shuffle, only to drop a few. #}
                lag(true, 1, false) over (partition by _cdc_change_id order by _cdc_topic_life, _cdc_partition, _cdc_offset) as was_seen
            from identified

        ),

        new_changes as (

            select
                {%- for column in identified_columns %}
                _value_{{ loop.index0 }} as {{ column.name }},
                {%- endfor %}
                {%- for column in change_metadata() if column.name not in ('_run_number', '_loaded_at') %}
                {{ column.name }},
                {%- endfor %}
                {%- if share_keys %}
                _cdc_row_before,
                _record as _cdc_record,
                {%- endif %}
                {{ run_number() }} as _run_number,
                {{ loaded_at() }} as _loaded_at
            from first_sightings
            where
                not was_seen
                -- Not before: the engine would read each message once more for a condition so far down.
                and not _is_marker
                {%- if is_incremental() %}
                and not {{ is_known('first_sightings', facts) }}
                {%- endif %}

        ),

        {%- if share_keys %}

        {{ changes_with_rows_left(identified_columns, keys, 'new_changes') }},
        {%- endif %}

        final as (

            select
                {%- for column in identified_columns + change_metadata() %}
                {{ column.name }}{{ ',' if not loop.last }}
                {%- endfor %}
            from {{ 'changes_with_rows_left' if share_keys else 'new_changes' }}

        )

        select * from final
    {%- endif -%}
{%- endmacro %}

{#- Messages with their row in the declared types, in columns `_value_0` and on, and with what is said of the change. With `_cdc_row_before`, the row before
    it, where rows may share a key. -#}
{% macro typed_messages(columns, key_fields, messages, share_keys) -%}
    {#- Most rows have exactly the declared fields. To compare sorted arrays costs less than array_except. #}
    {%- set has_declared_fields = 'sort_array(_fields) = ' ~ fields_of(columns | sort(attribute='field', case_sensitive=true)) -%}
    select
        {%- for column in columns %}
        {{ decode_column(column, key_fields) }} as _value_{{ loop.index0 }},
        {%- endfor %}
        {%- if share_keys %}
        {{ typed_row(as_identifiers(columns), "from_json(_message.before, 'map<string, string>')", '_field_schemas') }} as _cdc_row_before,
        {%- endif %}
        {{ change_id() }} as _change_id,
        _message.op as _cdc_op,
        {{ change_lsn() }} as _cdc_lsn,
        coalesce({{ sequence_part(0) }}, {{ change_lsn() }}) as _cdc_commit_lsn,
        _message.source.txid as _cdc_tx_id,
        timestamp_micros(coalesce(_message.source.ts_us, _message.source.ts_ms * 1000)) as _cdc_committed_at,
        _topic_life as _cdc_topic_life,
        _partition as _cdc_partition,
        _offset as _cdc_offset,
        {{ reset_kind() }} as _cdc_reset,
        _message.before as _cdc_before,
        {{ is_marker() }} as _is_marker,
        {{ unavailable_columns(columns) }} as _cdc_unavailable,
        if({{ has_declared_fields }}, null, nullif(array_except(_fields, {{ fields_of(columns) }}), array())) as _cdc_unknown_fields,
        if({{ has_declared_fields }}, null, nullif(array_except({{ fields_of(columns) }}, _fields), array())) as _cdc_missing_fields,
        *
    from {{ messages }}
{%- endmacro %}

{#- Condition on a change: the model's table has it already. What comes again has the same place in the log, so that only the files are read that reach
    there; what couldn't be decoded may have none. -#}
{% macro is_known(change, facts) -%}
    {%- set reaches_back = facts.lowest_lsn is not none and facts.lowest_lsn <= facts.last_lsn %}
    exists (
        select{{ ' /*+ merge(known) */' if reaches_back and facts.row_count > max_rows_to_broadcast() }} 1
        from {{ this }} as known
        where
            known._cdc_change_id = {{ change }}._cdc_change_id
            and (known._cdc_error is not null{% if facts.lowest_lsn is not none %} or known._cdc_lsn >= {{ facts.lowest_lsn }}{% endif %})
    )
{%- endmacro %}

{#- A column's value in its declared type; NULL where the message holds none, or one that can't be read as the type exactly. -#}
{% macro decode_column(column, key_fields) -%}
    {%- set schema = '_field_schemas[' ~ quoted(column.field) ~ ']' -%}
    {%- set value = decode_value(
        raw_value(column, key_fields), column.data_type, schema ~ '.name', schema ~ '.scale', column.get('options', {})
    ) -%}
    {%- if is_toastable(column) -%}
        case when not {{ is_unavailable(raw_value(column, key_fields), column.data_type) }} then {{ value }} end
    {%- else -%}
        {{ value }}
    {%- endif -%}
{%- endmacro %}

{#- A column's value as Debezium wrote it: text, also for a number. Of a delete, only the key can be believed. -#}
{% macro raw_value(column, key_fields) -%}
    {%- if column.field in key_fields -%}
        _message_key[{{ quoted(column.field) }}]
    {%- else -%}
        _message.after[{{ quoted(column.field) }}]
    {%- endif -%}
{%- endmacro %}

{#- Why a message can't be decoded, in words; NULL when it can. -#}
{% macro decoding_error(columns, key_fields) -%}
    case
        when _value_json is null or (_key_json is null and _record.key is not null) then 'not UTF-8'
        when _value_read.malformed is not null or not endswith(rtrim(_value_json), '}') then 'not JSON, or not of the form of a Debezium envelope'
        when _message.op is null then 'not a Debezium envelope'
        when _message.op not in ('c', 'u', 'd', 'r', 't') then concat('unknown operation ', left(_message.op, 20))
        {%- for field in key_fields %}
        when _message.op <> 't' and _message_key[{{ quoted(field) }}] is null then {{ quoted('no key ' ~ field) }}
        {%- endfor %}
        when _message.op in ('c', 'u', 'r') and _message.after is null then 'no row after the change'
        when _cdc_lsn is null then 'no position in the log (source.lsn)'
        when _unavailable_value <> '{{ var('debezium_unavailable_value_in_header') }}'
            then concat('the connector writes ', left(_unavailable_value, 50), ' for a value left out, which dbt_project.yml doesn\'t know')
        {%- for column in columns %}
        when
            {{ raw_value(column, key_fields) }} is not null
            and _value_{{ loop.index0 }} is null
            {%- if is_toastable(column) and column.field not in key_fields %}
            and not {{ is_unavailable(raw_value(column, key_fields), column.data_type) }}
            {%- endif %}
            then {{ quoted(column.field ~ " can't be read as " ~ column.data_type) }}
        {%- if column.field in key_fields %}
        when {{ disagrees(column, '_value_' ~ loop.index0) }}
            then concat(
                {{ quoted('the key says ' ~ column.field ~ ' ') }}, left({{ raw_value(column, key_fields) }}, 50),
                ', the row ', coalesce(left(_message.after[{{ quoted(column.field) }}], 50), 'NULL')
            )
        {%- endif %}
        {%- if may_hide_unavailable(column.data_type) %}
        when _message.op = 'u' and _message.before is null and {{ raw_value(column, key_fields) }} is null
            then {{ quoted(column.field ~ ' is NULL or was left out as it is large; only REPLICA IDENTITY FULL tells') }}
        {%- endif %}
        {%- endfor %}
    end
{%- endmacro %}

{#- Condition that the row a message tells has another value of a key column than the message's key: they differ as text, and are not one
    value that was written in two ways. A row that doesn't have the field, or left it out, says nothing about it. -#}
{% macro disagrees(column, value) -%}
    {%- set in_row = '_message.after[' ~ quoted(column.field) ~ ']' -%}
    _message.op in ('c', 'u', 'r')
    and not _message_key[{{ quoted(column.field) }}] <=> {{ in_row }}
    and map_contains_key(_message.after, {{ quoted(column.field) }})
    and not {{ value }} <=> {{ decode_column(column, []) }}
    {%- if is_toastable(column) %}
    and not {{ is_unavailable(in_row, column.data_type) }}
    {%- endif %}
{%- endmacro %}

{#- The declared fields as an array. -#}
{% macro fields_of(columns) -%}
    array({% for column in columns %}{{ quoted(column.field) }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}

{#- A base model that has nothing to decode yet: no rows, in the columns it will have. -#}
{% macro no_changes(columns) -%}
    {%- set all_columns = as_identifiers(columns + change_metadata()) -%}
    select
        {%- for column in all_columns %}
        cast(null as {{ column.data_type }}) as {{ column.name }}{{ ',' if not loop.last }}
        {%- endfor %}
    where false
{%- endmacro %}
