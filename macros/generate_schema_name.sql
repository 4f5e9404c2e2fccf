{#- Schemas are named exactly as configured, but for a developer's own: those begin with DBT_SCHEMA. `prod` has no developer. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if custom_schema_name is none -%}
        {{ target.schema }}
    {%- elif target.name == 'dev' or (target.name == 'local' and env_var('DBT_SCHEMA', '')) -%}
        {{ target.schema }}_{{ custom_schema_name | trim }}
    {%- else -%}
        {{ custom_schema_name | trim }}
    {%- endif -%}
{%- endmacro %}
