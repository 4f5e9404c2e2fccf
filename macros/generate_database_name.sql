{#- The catalog is the target's. A node's own is heeded in `prod` alone, so that a developer's run never writes outside of theirs. -#}
{% macro generate_database_name(custom_database_name=none, node=none) -%}
    {%- if custom_database_name is none or target.name != 'prod' -%}
        {#- dbt-spark has none. -#}
        {{ return(target.database or none) }}
    {%- endif -%}
    {{ return(custom_database_name | trim) }}
{%- endmacro %}
