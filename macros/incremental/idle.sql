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
    {%- set parents = clocks_of(without_indirect(tables_behind(nodes_read()))) -%}
    {%- if '_loaded_at' not in model.columns or none in parents -%}
        {{ return(true) }}
    {%- elif not parents -%}
        {#- Its Bronze table isn't there yet. -#}
        {{ return(false) }}
    {%- endif -%}
    {%- set own_clock = '_ingested_at' if parents[0].column == 'ingested_at' else '_loaded_at' -%}
    {#- One aggregation over all of them: two small jobs, however many parents there are. -#}
    {%- set query -%}
        select is_own, max(loaded_at) as newest
        from (
            select true as is_own, {{ own_clock }} as loaded_at from {{ this }}
            {%- for parent in parents %}
            union all
            select false as is_own, {{ parent.column }} as loaded_at from {{ parent.relation }}
            {%- endfor %}
        )
        group by is_own
    {%- endset -%}
    {%- set newest = {} -%}
    {%- for row in run_query(query).rows -%}
        {%- do newest.update({row[0]: row[1]}) -%}
    {%- endfor -%}
    {%- if false not in newest -%}
        {{ return(false) }}
    {%- elif true not in newest or newest[false] > newest[true] -%}
        {{ return(true) }}
    {%- endif -%}
    {{ return(config.get('meta', {}).get('changes_daily', false) and newest[true].date() < run_started_at.date()) }}
{%- endmacro %}

{#- The nodes that the model's SQL reads: a list of unique ids. A foreign key makes dbt wait for the table it leads to, and reads nothing. -#}
{% macro nodes_read() -%}
    {%- set keys_lead_to = model.constraints | map(attribute='to') | list -%}
    {%- set read = [] -%}
    {%- for unique_id in model.depends_on.nodes -%}
        {%- if unique_id not in graph.nodes or graph.nodes[unique_id].relation_name not in keys_lead_to -%}
            {%- do read.append(unique_id) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(read) }}
{%- endmacro %}

{#- The nodes that a list of nodes reads, through what has no table of its own: a list of unique ids. -#}
{% macro tables_behind(unique_ids) -%}
    {%- set tables = [] -%}
    {%- for unique_id in unique_ids -%}
        {%- set node = graph.nodes.get(unique_id) -%}
        {%- if node and node.config.materialized in ['ephemeral', 'view'] -%}
            {%- do tables.extend(tables_behind(node.depends_on.nodes)) -%}
        {%- elif unique_id not in tables -%}
            {%- do tables.append(unique_id) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}

{#- A list of unique ids without those that another of them reads: what is new there is new in that one too. -#}
{% macro without_indirect(unique_ids) -%}
    {%- set indirect = [] -%}
    {%- for unique_id in unique_ids if unique_id in graph.nodes -%}
        {%- do indirect.extend(tables_behind(graph.nodes[unique_id].depends_on.nodes)) -%}
    {%- endfor -%}
    {{ return(unique_ids | reject('in', indirect) | list) }}
{%- endmacro %}

{#- What tells the age of the rows of each of a list of tables: a list of {relation, column}, with none for what has no such column,
    and without the Bronze tables that don't exist. -#}
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
