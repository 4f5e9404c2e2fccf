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
    run that failed half-way, or ran a part of the models, is caught up with. A model that can't tell always has news. -#}
{% macro has_news() -%}
    {%- set parents = clocks_of(model.depends_on.nodes) -%}
    {%- if '_loaded_at' not in model.columns or none in parents -%}
        {{ return(true) }}
    {%- elif not parents -%}
        {#- Its Bronze table isn't there yet. -#}
        {{ return(false) }}
    {%- endif -%}
    {%- set own_clock = '_ingested_at' if parents[0].column == 'ingested_at' else '_loaded_at' -%}
    {%- set query -%}
        with parents as (
            {%- for parent in parents %}
            select max({{ parent.column }}) as newest from {{ parent.relation }}
            {{ 'union all' if not loop.last }}
            {%- endfor %}
        ),
        own as (select max({{ own_clock }}) as newest from {{ this }})
        select
            coalesce(max(parents.newest) > max(own.newest), max(parents.newest) is not null)
            {%- if config.get('meta', {}).get('changes_daily') %}
            or coalesce(to_date(max(own.newest)) < {{ today() }}, false)
            {%- endif %} as has_news
        from parents cross join own
    {%- endset -%}
    {{ return(run_query(query).rows[0][0]) }}
{%- endmacro %}

{#- The tables that a list of nodes reads, through what has no table of its own, each with the column that tells its rows' age: a
    list of {relation, column}, with none for what has no such column. -#}
{% macro clocks_of(unique_ids) -%}
    {%- set clocks = [] -%}
    {%- for unique_id in unique_ids -%}
        {%- set node = graph.sources.get(unique_id) or graph.nodes[unique_id] -%}
        {%- set relation = api.Relation.create(
            database=node.database, schema=node.schema, identifier=node.identifier or node.alias
        ) -%}
        {%- if node.resource_type == 'source' -%}
            {%- if bronze_exists(relation) -%}
                {%- do clocks.append({'relation': relation, 'column': 'ingested_at'}) -%}
            {%- endif -%}
        {%- elif node.config.materialized in ['ephemeral', 'view'] -%}
            {%- do clocks.extend(clocks_of(node.depends_on.nodes)) -%}
        {%- elif '_loaded_at' in node.columns -%}
            {%- do clocks.append({'relation': relation, 'column': '_loaded_at'}) -%}
        {%- else -%}
            {%- do clocks.append(none) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(clocks) }}
{%- endmacro %}

{#- End a materialization that has nothing to do. -#}
{% macro leave_as_it_is() -%}
    {%- call noop_statement('main', 'nothing new') -%}{%- endcall -%}
    {{ return({'relations': [this]}) }}
{%- endmacro %}
