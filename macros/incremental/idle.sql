{#- An incremental model whose parents hold nothing newer than itself is left alone: one small query, and no merge, which would
    read, plan and commit for nothing. Otherwise the adapter's own materialization runs, as released. -#}

{% materialization incremental, adapter='spark' -%}
    {%- if is_incremental() and not has_news() -%}
        {{ return(leave_as_it_is()) }}
    {%- endif -%}
    {{ return(dbt.materialization_incremental_spark()) }}
{%- endmaterialization %}

{% materialization incremental, adapter='databricks' -%}
    {%- if is_incremental() and not has_news() -%}
        {{ return(leave_as_it_is()) }}
    {%- endif -%}
    {{ return(dbt.materialization_incremental_databricks()) }}
{%- endmaterialization %}

{#- Whether a parent holds rows that came after the newest of the model's own. Asked of the data, not of the last run, so that a
    run that failed half-way, or ran a part of the models, is caught up with. -#}
{% macro has_news() -%}
    {%- set parents = tables_behind(model.depends_on.nodes) -%}
    {%- set reads_bronze = parents | selectattr('clock', 'equalto', 'ingested_at') | list | length > 0 -%}
    {%- set query -%}
        with own as (select max({{ '_ingested_at' if reads_bronze else '_loaded_at' }}) as newest from {{ this }}),
        parents as (
            {%- for parent in parents %}
            select max({{ parent.clock }}) as newest from {{ parent.relation }}
            {{ 'union all' if not loop.last }}
            {%- endfor %}
        )
        select
            coalesce(max(parents.newest) > max(own.newest), max(parents.newest) is not null)
            {%- if config.get('meta', {}).get('changes_daily') %}
            or coalesce(to_date(max(own.newest)) < {{ today() }}, true)
            {%- endif %} as has_news
        from parents cross join own
    {%- endset -%}
    {{ return(parents | length == 0 or run_query(query).rows[0][0]) }}
{%- endmacro %}

{#- The tables that a list of nodes reads, through what has no table of its own: a list of {relation, clock}. -#}
{% macro tables_behind(unique_ids) -%}
    {%- set tables = [] -%}
    {%- for unique_id in unique_ids -%}
        {%- if unique_id.startswith('source.') -%}
            {%- set node = graph.sources[unique_id] -%}
            {%- set relation = api.Relation.create(database=node.database, schema=node.schema, identifier=node.identifier) -%}
            {%- if bronze_exists(relation) -%}
                {%- do tables.append({'relation': relation, 'clock': 'ingested_at'}) -%}
            {%- endif -%}
        {%- elif unique_id.startswith('model.') -%}
            {%- set node = graph.nodes[unique_id] -%}
            {%- if node.config.materialized == 'incremental' -%}
                {%- do tables.append({'relation': api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias), 'clock': '_loaded_at'}) -%}
            {%- else -%}
                {%- do tables.extend(tables_behind(node.depends_on.nodes)) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}

{#- End a materialization that has nothing to do. -#}
{% macro leave_as_it_is() -%}
    {%- call noop_statement('main', 'nothing new') -%}{%- endcall -%}
    {{ return({'relations': [this]}) }}
{%- endmacro %}
