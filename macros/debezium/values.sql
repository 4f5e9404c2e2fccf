{% macro decode_value(raw, data_type, logical_type, scale, options) -%}
    {%- if data_type == 'date' -%}
        try_cast(trim(trailing 'Z' from {{ raw }}) as date)
    {%- elif data_type == 'string' -%}
        {{ raw }}
    {%- elif data_type == 'binary' -%}
        try_to_binary({{ raw }}, 'base64')
    {%- elif data_type.startswith('decimal') -%}
        case when try_cast({{ raw }} as decimal(38, 18)) = try_cast({{ raw }} as {{ data_type }}) then try_cast({{ raw }} as {{ data_type }}) end
    {%- else -%}
        try_cast({{ raw }} as {{ data_type }})
    {%- endif -%}
{%- endmacro %}
{% macro is_unavailable(raw, data_type) -%}
    coalesce({{ raw }} = '{{ var("debezium_unavailable_value") }}', false)
{%- endmacro %}
