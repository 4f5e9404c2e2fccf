{#- A Bronze table's messages, tombstones left out, with Debezium's envelope taken apart: one row each, in columns that begin with `_`. A
    message may bring its schema (JsonConverter's `schemas.enable`), and what it holds is then in `payload`. With `is_plain`, no message has one. -#}
{% macro parsed_messages(bronze, is_plain=false) -%}
    {%- set envelope = {
        'op': 'string',
        'before': 'string',
        'after': 'map<string, string>',
        'source': 'struct<lsn: bigint, txId: bigint, ts_us: bigint, ts_ms: bigint, snapshot: string, sequence: string>',
        'status': 'string',
        'ts_ms': 'string',
    } -%}
    select
        *,
        {{ payload_of('_value_read', envelope, is_plain) }} as _message,
        {%- if is_plain %}
        _key_read as _message_key,
        _key_json as _key_text
        {%- else %}
        if(_key_has_schema, from_json(_key_read['payload'], 'map<string, string>'), _key_read) as _message_key,
        -- The same key is the same text, with its schema or without.
        if(_key_has_schema, get_json_object(_key_json, '$.payload'), _key_json) as _key_text
        {%- endif %}
    from (
        select
            *,
            {%- if not is_plain %}
            -- A column of the key may be called `payload`, too.
            coalesce(size(_key_read) = 2 and startswith(_key_read['schema'], '{') and startswith(_key_read['payload'], '{'), false) as _key_has_schema,
            {%- endif %}
            -- What from_json can't read to its end it calls malformed; without that column it would give the half it read.
            from_json(
                _value_json,
                '{{ json_schema(envelope, is_plain) }}, schema string, malformed string',
                map('columnNameOfCorruptRecord', 'malformed', 'allowSingleQuotes', 'false')
            ) as _value_read
        from (
            select
                struct(topic, key, value) as _record,
                partition as _partition,
                offset as _offset,
                coalesce(topic_life, 1) as _topic_life,
                ingested_at as _ingested_at,
                -- What the connector writes for a value that is left out, where it says so. A lambda over the headers took 15 % of decoding.
                cast(get(headers.value, cast(array_position(headers.key, 'unavailable.value.placeholder') as int) - 1) as string) as _unavailable_value,
                try_validate_utf8(cast(key as string)) as _key_json,
                from_json(try_validate_utf8(cast(key as string)), 'map<string, string>') as _key_read,
                try_validate_utf8(cast(value as string)) as _value_json
            from {{ bronze }}
            -- A tombstone only tells Kafka to forget the key. It is not a change.
            where value is not null
        )
    )
{%- endmacro %}

{#- A name as SQL takes it, whatever is in it. -#}
{% macro identifier(name) -%}
    {{ return('`' ~ (name | replace('`', '``')) ~ '`') }}
{%- endmacro %}

{#- A schema, as from_json reads it, of an object with these fields, or of one that holds them in `payload`. With `is_plain`, no message has a `payload`. -#}
{% macro json_schema(fields, is_plain=false) -%}
    {%- set plain, nested = [], [] -%}
    {%- for name, data_type in fields.items() -%}
        {%- do plain.append(identifier(name) ~ ' ' ~ data_type) -%}
        {%- do nested.append(identifier(name) ~ ': ' ~ data_type) -%}
    {%- endfor -%}
    {{ return(plain | join(', ') ~ ('' if is_plain else ', payload struct<' ~ nested | join(', ') ~ '>')) }}
{%- endmacro %}

{#- The fields that were read, from `payload` where the message has one. With `is_plain` none has, and this is `read` itself. -#}
{% macro payload_of(read, fields, is_plain=false) -%}
    {%- if is_plain -%}
        {#- Not a struct of its fields, for which Spark would parse the JSON again. #}
        {{ return(read) }}
    {%- endif -%}
    {%- set plain = [] -%}
    {%- for name in fields -%}
        {%- do plain.append(read ~ '.' ~ identifier(name)) -%}
    {%- endfor -%}
    coalesce({{ read }}.payload, struct({{ plain | join(', ') }}))
{%- endmacro %}

{#- Whether a parsed message tells of no change, and need not: a heartbeat, or a marker of where a transaction begins or ends. They
    have topics of their own, unless a connector routes all of its topics into one. -#}
{% macro is_marker() -%}
    _message.op is null
    and _message.source is null
    and coalesce(
        _message.status in ('BEGIN', 'END') and _key_text is not null,
        _message.ts_ms is not null and _message_key['serverName'] is not null,
        false
    )
{%- endmacro %}

{#- What tells a change again: its topic, key, kind, and place in the database's log. The last row of a snapshot says so, and is not taken for
    the same row of an attempt before it. -#}
{% macro change_id() -%}
    md5(concat_ws('|', _record.topic, _key_text, _message.op, {{ change_lsn() }}, _message.source.txid, {{ reset_kind() }}))
{%- endmacro %}

{#- What tells a message again that can't be decoded: where it stands on the topic, and what it holds. -#}
{% macro error_id() -%}
    md5(concat_ws('|', 'error', _partition, _offset, md5(_record.value)))
{%- endmacro %}

{#- The change's place in the database's log. An incremental snapshot's rows have it in `sequence` only. -#}
{% macro change_lsn() -%}
    coalesce(_message.source.lsn, {{ sequence_part(1) }})
{%- endmacro %}

{#- One of the two numbers in `source.sequence`, such as `["28978664","28978824"]`: the end of the newest commit that was sent before
    this change, and the change's own place. Either may be null. -#}
{% macro sequence_part(index) -%}
    try_cast(get(split(translate(_message.source.sequence, '[]" ', ''), ','), {{ index }}) as bigint)
{%- endmacro %}

{#- Whether the change says that everything older in the table is gone: `truncate` does, and so does the last row of a whole `snapshot`,
    as what that did not find is not there. An incremental snapshot has no last row; a blocking one, which may read a part of the
    table, goes on from a commit and so says which. -#}
{% macro reset_kind() -%}
    case
        when _message.op = 't' then 'truncate'
        when
            _message.op = 'r'
            and _message.source.snapshot in ('last', 'last_in_data_collection')
            and {{ sequence_part(0) }} is null
            then 'snapshot'
    end
{%- endmacro %}

{#- What the message's schema says of each field of the row, of an array what it says of the items: a map of name, which is the type
    where a type has no other name, and scale. NULL without a schema. -#}
{% macro field_schemas() -%}
    {%- set described = 'type: string, name: string, parameters: map<string, string>' -%}
    case
        when _value_read.schema is not null
            then map_from_entries(transform(
                filter(
                    from_json(
                        _value_read.schema,
                        'fields array<struct<field: string, fields: array<struct<field: string, {{ described }}, items: struct<{{ described }}>>>>>'
                    ).fields,
                    part -> part.field = 'after'
                )[0].fields,
                described -> struct(
                    described.field,
                    struct(
                        coalesce(described.items.name, described.items.type, described.name, described.type) as name,
                        coalesce(described.items.parameters, described.parameters)['scale'] as scale
                    )
                )
            ))
    end
{%- endmacro %}
