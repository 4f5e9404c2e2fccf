{#- A schema's tables, for `dbt docs generate` with their columns: dbt-spark reads these from what SHOW TABLE EXTENDED says of a table,
    and of a Delta table Spark says everything but the columns. -#}
{% macro spark__list_relations_without_caching(relation) -%}
    {%- set tables = dbt.spark__list_relations_without_caching(relation) -%}
    {%- if flags.WHICH != 'generate' -%}
        {{ return(tables) }}
    {%- endif -%}
    {%- set with_columns = [] -%}
    {%- for schema, name, is_temporary, information in tables.rows -%}
        {%- set lines = [information] -%}
        {%- if 'Provider: delta' in information -%}
            {#- Columns end where partitioning begins. -#}
            {%- set columns = namespace(ended=false) -%}
            {%- for column, data_type, comment in run_query('describe table ' ~ schema ~ '.' ~ name).rows -%}
                {%- set columns.ended = columns.ended or not column or column.startswith('#') -%}
                {%- if not columns.ended -%}
                    {%- do lines.append(' |-- ' ~ column ~ ': ' ~ data_type ~ ' (nullable = true)') -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
        {%- do with_columns.append([schema, name, is_temporary, lines | join('\n')]) -%}
    {%- endfor -%}
    {{ return(with_columns) }}
{%- endmacro %}
