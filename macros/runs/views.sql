{#- A view whose definition has not changed is not recreated. A property of the view holds a fingerprint of its definition, and the local target's
    list of tables shows it. On Databricks, views are recreated in each run. -#}
{% materialization view, adapter='spark' -%}
    {%- if is_as_written(sql) -%}
        {{ return(leave_as_it_is()) }}
    {%- endif -%}
    {{ return(dbt.materialization_view_spark()) }}
{%- endmaterialization %}

{#- Whether the view exists with the same definition, and no table behind it was created in this run. -#}
{% macro is_as_written(sql) -%}
    {%- if should_full_refresh() or not has_property(load_cached_relation(this), fingerprint_property(), view_fingerprint(sql)) -%}
        {{ return(false) }}
    {%- endif -%}
    {%- for unique_id in tables_behind(model.depends_on.nodes) -%}
        {%- if this_run().models.get(unique_id, {}).get('is_made') -%}
            {{ return(false) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}
{%- endmacro %}

{#- A digest of a view's SQL, its YAML, and the declarations of the tables behind it. -#}
{% macro view_fingerprint(sql) -%}
    {%- set made_of = [sql, model.description, model.columns | string] -%}
    {%- for unique_id in tables_behind(model.depends_on.nodes) if unique_id in graph.nodes -%}
        {%- do made_of.append(fingerprint(graph.nodes[unique_id])) -%}
    {%- endfor -%}
    {{ return(local_md5(made_of | join('\n'))) }}
{%- endmacro %}

{#- dbt-spark's statement, locally with the fingerprint. -#}
{% macro spark__create_view_as(relation, sql) -%}
    create or replace view {{ relation }}
    {%- if config.persist_column_docs() %}
    ({{ get_persist_docs_column_list(model.columns, get_columns_in_query(sql)) }})
    {%- endif %}
    {{ comment_clause() }}
    {%- if target.type == 'spark' %}
    tblproperties ('{{ fingerprint_property() }}' = '{{ view_fingerprint(sql) }}')
    {%- endif %}
    {%- if config.get('contract').enforced %}
    {{ get_assert_columns_equivalent(sql) }}
    {%- endif %}
    as
    {{ sql }}
{%- endmacro %}
