{#- Put small files of some tables together; for `dbt run-operation`. On Databricks, predictive optimization does it. -#}
{% macro compact_tables(names) -%}
    {%- for relation in tables_named(names) -%}
        {%- do run_query('optimize ' ~ relation) -%}
    {%- endfor -%}
{%- endmacro %}

{#- Remove files that no version of the last `vacuum_hours` has; for `dbt run-operation`. A table whose newest version is not the published one is left
    alone: a reader needs the published version's files, however old they are. On Databricks, predictive optimization does it, after a week. -#}
{% macro vacuum_tables(names) -%}
    {%- set published = published_versions() -%}
    {%- if target.type == 'spark' -%}
        {#- Delta refuses less than a week, as a reader or a writer may take that long. Here none does. #}
        {%- do run_query('set spark.databricks.delta.retentionDurationCheck.enabled = false') -%}
    {%- endif -%}
    {%- for relation in tables_named(names) -%}
        {%- set name = relation | replace('`', '') -%}
        {%- if name not in published or published[name] == newest_version(relation) -%}
            {%- do run_query('vacuum ' ~ relation ~ ' retain ' ~ var('vacuum_hours') ~ ' hours') -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- Delete publications that are older than `publication_days`. The newest one stays. For `dbt run-operation`. `make live` adds thousands a day. -#}
{% macro forget_publications() -%}
    {%- for relation in tables_named(['published_marts']) -%}
        {%- set newest = run_query('select max(_run_number) as run_number from ' ~ relation).rows[0]['run_number'] -%}
        {%- if newest is not none -%}
            {%- do run_query(
                'delete from ' ~ relation ~ ' where _run_number < ' ~ newest
                ~ ' and published_at < current_timestamp() - interval ' ~ var('publication_days') ~ ' days'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- The tables of sources, models and snapshots of these names; those that are there. -#}
{% macro tables_named(names) -%}
    {%- set relations = [] -%}
    {%- for node in (graph.sources.values() | list) + (graph.nodes.values() | list) if node.name in names -%}
        {%- set relation = load_relation(relation_of(node)) -%}
        {%- if relation is not none -%}
            {%- do relations.append(relation) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(relations) }}
{%- endmacro %}
