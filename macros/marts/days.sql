{#- The day of a timestamp in UTC, also where the session of who reads a view has another time zone. -#}
{% macro utc_date(timestamp) -%}
    to_date(to_utc_timestamp({{ timestamp }}, current_timezone()))
{%- endmacro %}

{#- The day on which a query runs, UTC. -#}
{% macro today() -%}
    {{ utc_date('current_timestamp()') }}
{%- endmacro %}

{#- Condition on a scheduled payment: it still waits, and its day has passed. The one place that says what overdue is. -#}
{% macro is_overdue(prefix='') -%}
    {{ prefix }}status = 'scheduled' and {{ prefix }}due_date < {{ today() }}
{%- endmacro %}
