{#- Every change that one Bronze table's messages tell, one typed row each, in the columns the calling model declares. -#}
{% macro decode_changes(bronze, key) -%}
    {%- set columns = declared_columns() -%}
    {%- if not bronze_exists(bronze) -%}
        {{ no_changes(columns) }}
    {%- else -%}
        with

        messages as (

            select
                partition,
                offset,
                ingested_at,
                cast(key as string) as key_json,
                cast(value as string) as value_json
            from {{ bronze }}
            -- A tombstone only tells Kafka to forget the key. It is not a change.
            where
                value is not null
                {%- if is_incremental() %}
                and ingested_at > {{ newest('_ingested_at') }}
                {%- endif %}

        ),

        parsed as (

            select
                *,
                from_json(key_json, '{{ key }} string') as message_key,
                from_json(value_json, '{{ envelope_schema(columns) }}') as message
            from messages

        ),

        typed as (

            select
                {%- for column in columns %}
                {{ decode_column(column, key) }} as {{ column.name }},
                {%- endfor %}
                message.op as _cdc_op,
                message.source.lsn as _cdc_lsn,
                message.source.txid as _cdc_tx_id,
                timestamp_micros(message.source.ts_us) as _cdc_committed_at,
                partition as _cdc_partition,
                offset as _cdc_offset,
                {{ unavailable_columns(columns) }} as _cdc_unavailable,
                message.before as _cdc_before,
                {{ decoding_error(columns, key) }} as _cdc_error,
                ingested_at as _ingested_at,
                key_json,
                value_json
            from parsed

        ),

        identified as (

            select
                *,
                -- A change is known again by its key, kind, place in the log and transaction; a message that can't be decoded
                -- by where it stands on the topic and what it holds.
                case
                    when _cdc_error is null
                        then md5(concat_ws('|', key_json, _cdc_op, _cdc_lsn, _cdc_tx_id))
                    else md5(concat_ws('|', 'error', _cdc_partition, _cdc_offset, value_json))
                end as _cdc_change_id
            from typed

        ),

        -- After a crash Debezium sends a stretch again, and after a lost checkpoint ingestion lands one again. A change counts
        -- where it stood first, as its place tells its order.
        first_sightings as (

            select
                *,
                row_number() over (partition by _cdc_change_id order by {{ change_order() }}) as sighting
            from identified

        ),

        final as (

            select
                {%- for column in columns %}
                {{ column.name }},
                {%- endfor %}
                _cdc_change_id,
                _cdc_op,
                _cdc_lsn,
                _cdc_tx_id,
                _cdc_committed_at,
                _cdc_partition,
                _cdc_offset,
                _cdc_unavailable,
                _cdc_before,
                _cdc_error,
                _ingested_at,
                {{ loaded_at() }} as _loaded_at
            from first_sightings
            where
                sighting = 1
                {%- if is_incremental() %}
                and not exists (
                    select 1
                    from {{ this }} as known
                    where known._cdc_change_id = first_sightings._cdc_change_id
                )
                {%- endif %}

        )

        select * from final
    {%- endif -%}
{%- endmacro %}

{#- A base model that has nothing to decode yet: no rows, in the columns it will have. -#}
{% macro no_changes(columns) -%}
    {%- set metadata = [
        ('_cdc_change_id', 'string'),
        ('_cdc_op', 'string'),
        ('_cdc_lsn', 'bigint'),
        ('_cdc_tx_id', 'bigint'),
        ('_cdc_committed_at', 'timestamp'),
        ('_cdc_partition', 'int'),
        ('_cdc_offset', 'bigint'),
        ('_cdc_unavailable', 'array<string>'),
        ('_cdc_before', 'string'),
        ('_cdc_error', 'string'),
        ('_ingested_at', 'timestamp'),
        ('_loaded_at', 'timestamp'),
    ] -%}
    select
        {%- for column in columns %}
        cast(null as {{ column.data_type }}) as {{ column.name }},
        {%- endfor %}
        {%- for name, data_type in metadata %}
        cast(null as {{ data_type }}) as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    where false
{%- endmacro %}

{#- Whether ingestion has made this Bronze table: it does when the topic appears. -#}
{% macro bronze_exists(bronze) -%}
    {{ return(not execute or load_relation(bronze) is not none) }}
{%- endmacro %}
