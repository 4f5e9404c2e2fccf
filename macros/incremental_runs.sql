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

{#- Condition on rows that were written since the model last ran. Where a parent is given that is known to have none, the engine need not
    look: `false`. -#}
{% macro newer_than_this(parent=none) -%}
    {%- if parent is not none and not may_have_news(parent) -%}
        false
    {%- else -%}
        _loaded_at > {{ newest('_loaded_at') }}
    {%- endif -%}
{%- endmacro %}

{#- The day on which the dbt run began, UTC. -#}
{% macro today() -%}
    date '{{ run_started_at.strftime("%Y-%m-%d") }}'
{%- endmacro %}

{#- Condition on a scheduled payment: it still waits, and its day was before dbt's. The one place that says what overdue is. -#}
{% macro is_overdue(prefix='') -%}
    {{ prefix }}status = 'scheduled' and {{ prefix }}due_date < {{ today() }}
{%- endmacro %}

{#- Condition on a scheduled payment: it became overdue since the model last ran, as the day turned, without a change in the bank. -#}
{% macro became_overdue(prefix='') -%}
    {%- if is_incremental() -%}
        {{ is_overdue(prefix) }} and {{ prefix }}due_date >= to_date({{ newest('_loaded_at') }})
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}
