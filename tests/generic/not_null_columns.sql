{#- None of these columns is ever NULL: one statement for all, where dbt's own test takes one for each. -#}
{% test not_null_columns(model, columns) %}
select {{ columns | join(', ') }}
from {{ model }}
where {{ columns | join(' is null or ') }} is null
{% endtest %}
