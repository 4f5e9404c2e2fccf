{#- The customers whose figures a mart must compute anew: all on its first run, later those with a change in its subjects. -#}
{% macro changed_customers(subjects) -%}
    select distinct customer_id
    from {{ ref('int_customer_changes') }}
    where
        subject in ('{{ subjects | join("', '") }}')
        {%- if is_incremental() %}
        and {{ newer_than_this() }}
        {%- endif %}
{%- endmacro %}
