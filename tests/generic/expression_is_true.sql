{#- A condition holds in every row. Where it is NULL, it does not hold. -#}
{% test expression_is_true(model, expression) %}

    select * from {{ model }}
    where not coalesce({{ expression }}, false)

{% endtest %}
