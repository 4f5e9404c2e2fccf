{#- The source's columns that a model declares in its YAML: a list of {name, data_type, field}, without what the pipeline adds. -#}
{% macro declared_columns() -%}
    {%- set declared = [] -%}
    {%- for name, column in model.columns.items() if not name.startswith('_') and name != 'is_deleted' -%}
        {%- do declared.append({
            'name': name,
            'data_type': column.data_type,
            'field': column.config.meta.get('field', name),
        }) -%}
    {%- endfor -%}
    {{ return(declared) }}
{%- endmacro %}

{#- The schema that from_json reads an envelope with. Values are read as text, and cast later: a failed cast can be seen then,
    where from_json would write NULL without a word. -#}
{% macro envelope_schema(columns) -%}
    {%- set fields = [] -%}
    {%- for column in columns -%}
        {%- do fields.append('`' ~ column.field ~ '`: string') -%}
    {%- endfor -%}
    {{ return(
        'op string, before string, after struct<' ~ fields | join(', ')
        ~ '>, source struct<lsn: bigint, txId: bigint, ts_us: bigint>'
    ) }}
{%- endmacro %}

{#- A column's value as Debezium wrote it: text, also for a number. -#}
{% macro raw_value(column, key) -%}
    {%- if column.field == key -%}
        message_key.`{{ column.field }}`
    {%- else -%}
        message.after.`{{ column.field }}`
    {%- endif -%}
{%- endmacro %}

{#- A column's value in its declared type; NULL where the message holds none, or one that is not of the type. -#}
{% macro decode_column(column, key) -%}
    {%- set raw = raw_value(column, key) -%}
    {%- if column.data_type == 'date' -%}
        {#- Debezium's isostring dates end in a Z. -#}
        try_cast(trim(trailing 'Z' from {{ raw }}) as date)
    {%- elif column.data_type == 'string' -%}
        nullif({{ raw }}, '{{ var("debezium_unavailable_value") }}')
    {%- else -%}
        try_cast({{ raw }} as {{ column.data_type }})
    {%- endif -%}
{%- endmacro %}

{#- Names of the columns whose value the message leaves out because the update left it as it was (TOAST). -#}
{% macro unavailable_columns(columns) -%}
    array_compact(array(
        {%- for column in columns if column.data_type == 'string' %}
        case when message.after.`{{ column.field }}` = '{{ var("debezium_unavailable_value") }}' then '{{ column.name }}' end,
        {%- endfor %}
        cast(null as string)
    ))
{%- endmacro %}

{#- Why a message can't be decoded, in words; NULL when it can. -#}
{% macro decoding_error(columns, key) -%}
    case
        when message.op is null then 'not a Debezium envelope in JSON'
        when message.op not in ('c', 'u', 'd', 'r', 't') then concat('unknown operation ', message.op)
        when message.op <> 't' and message_key.`{{ key }}` is null then 'no key'
        when message.op in ('c', 'u', 'r') and message.after is null then 'no row after the change'
        when message.source.lsn is null then 'no position in the log (source.lsn)'
        {%- for column in columns if column.data_type != 'string' %}
        {%- set raw = raw_value(column, key) %}
        when {{ raw }} is not null and {{ decode_column(column, key) }} is null
            then '{{ column.field }} is not of type {{ column.data_type }}'
        {%- if column.data_type.startswith('decimal') %}
        {#- A cast rounds what has more decimal places than the type; money must not be rounded. -#}
        when try_cast({{ raw }} as decimal(38, 18)) <> {{ decode_column(column, key) }}
            then '{{ column.field }} has more decimal places than {{ column.data_type }}'
        {%- endif %}
        {%- endfor %}
    end
{%- endmacro %}
