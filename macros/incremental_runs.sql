{#- When the dbt run that writes this row began, UTC. -#}
{% macro loaded_at() -%}
    timestamp '{{ run_started_at.strftime("%Y-%m-%dT%H:%M:%S.%f") }}Z'
{%- endmacro %}

{#- The newest value of a timestamp column in the model's own table, the beginning of time when it is empty. A literal, as the engine
    skips files by nothing else. The rows of a unit test can't be asked before it runs. -#}
{% macro newest(column) -%}
    {%- if execute and model.resource_type != 'unit_test' and column == own_clock() and '_loaded_at' in model.columns -%}
        timestamp_micros({{ news().own or 0 }})
    {%- else -%}
        (select coalesce(max({{ column }}), timestamp '1970-01-01T00:00:00Z') from {{ this }})
    {%- endif -%}
{%- endmacro %}

{#- Condition on rows that were written since the model last ran. -#}
{% macro newer_than_this() -%}
    _loaded_at > {{ newest('_loaded_at') }}
{%- endmacro %}

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
