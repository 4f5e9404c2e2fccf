{#- When the dbt run that writes this row began, UTC. -#}
{% macro loaded_at() -%}
    timestamp '{{ run_started_at.strftime("%Y-%m-%dT%H:%M:%S.%f") }}Z'
{%- endmacro %}

{#- The newest value of a timestamp column in the model's own table; the beginning of time when it is empty. -#}
{% macro newest(column) -%}
    (select coalesce(max({{ column }}), timestamp '1970-01-01T00:00:00Z') from {{ this }})
{%- endmacro %}

{#- Condition on rows that were written since the model last ran. -#}
{% macro newer_than_this() -%}
    _loaded_at > {{ newest('_loaded_at') }}
{%- endmacro %}

{#- The day on which the dbt run began, UTC. -#}
{% macro today() -%}
    date '{{ run_started_at.strftime("%Y-%m-%d") }}'
{%- endmacro %}
