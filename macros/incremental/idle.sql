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

{#- Whether a parent holds rows that came after the newest of the model's own. A model that can't tell always has news. -#}
{% macro has_news() -%}
    {%- set news = news() -%}
    {%- if not news.can_tell -%}
        {{ return(true) }}
    {%- elif news.parents is none -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(news.own is none or news.parents > news.own) }}
{%- endmacro %}

{#- How new the model's own rows are, and its parents': a dict of `own` and `parents`, the newest time of each in microseconds since 1970, none
    where there are no rows, `newest_of` each parent by its name in SQL, and `can_tell`. Asked once for each model of a run, of the data
    and not of the last run, so that a run that failed half-way, or ran a part of the models, is caught up with. Of a parent that this
    run left as it is, it is known. -#}
{% macro news() -%}
    {%- set known = facts_of_this_run(model.unique_id) -%}
    {%- if 'own' not in known -%}
        {%- set parents = clocks_of(without_indirect(tables_behind(nodes_read()))) -%}
        {%- do known.update({'own': none, 'newest_of': {}, 'parents': none, 'can_tell': '_loaded_at' in model.columns and none not in parents}) -%}
        {%- if '_loaded_at' in model.columns -%}
            {%- set asked = [] -%}
            {%- for parent in parents if parent is not none -%}
                {%- if 'newest' in parent -%}
                    {%- do known.newest_of.update({parent.relation | string: parent.newest}) -%}
                {%- else -%}
                    {%- do asked.append(parent) -%}
                {%- endif -%}
            {%- endfor -%}
            {#- One aggregation over all of them, into one row: two small jobs, however many parents there are. #}
            {%- set query -%}
                select
                    unix_micros(max(own)) as own,
                    unix_micros(max(loaded_at)) as loaded_at
                    {%- for parent in asked %},
                    unix_micros(max(parent_{{ loop.index }})) as parent_{{ loop.index }}
                    {%- endfor %}
                from (
                    select
                        {{ own_clock() }} as own,
                        _loaded_at as loaded_at
                        {%- for parent in asked %},
                        cast(null as timestamp) as parent_{{ loop.index }}
                        {%- endfor %}
                    from {{ this }}
                    {%- for parent in asked %}
                    union all
                    select null, null{% for other in asked %}, {{ parent.column if other is sameas parent else 'null' }}{% endfor %}
                    from {{ parent.relation }}
                    where {{ parent.condition }}
                    {%- endfor %}
                )
            {%- endset -%}
            {%- set row = run_query(query).rows[0] -%}
            {%- do known.update({'own': row['own'], 'loaded_at': row['loaded_at']}) -%}
            {%- for parent in asked -%}
                {%- set found = row['parent_' ~ loop.index] -%}
                {%- do known.newest_of.update({parent.relation | string: parent.before if found is none else found}) -%}
            {%- endfor -%}
            {%- do known.update({'parents': known.newest_of.values() | select('number') | max | default(none, true)}) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(known) }}
{%- endmacro %}

{#- What was found out about a model in this run of dbt: a dict, kept in dbt's graph, as a model's query is written in one context, its
    materialization runs in another, and its children's in others. -#}
{% macro facts_of_this_run(unique_id) -%}
    {{ return(graph.setdefault('facts_of_this_run', {}).setdefault(unique_id, {})) }}
{%- endmacro %}

{#- The column of the model that tells how far it has read: of Bronze, when its messages were landed. -#}
{% macro own_clock() -%}
    {%- for unique_id in model.depends_on.nodes if unique_id in graph.sources -%}
        {{ return('_ingested_at') }}
    {%- endfor -%}
    {{ return('_loaded_at') }}
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

{#- What tells the age of the rows of each of a list of tables: a list of {relation, column, condition, before}, in which `before` is how new the
    rows are that don't meet the condition; {relation, newest} where it is known; none for what has no such column. Without the
    Bronze tables that don't exist. -#}
{% macro clocks_of(unique_ids) -%}
    {%- set clocks = [] -%}
    {%- for unique_id in unique_ids -%}
        {%- set node = graph.sources.get(unique_id) or graph.nodes[unique_id] -%}
        {%- set relation = api.Relation.create(
            database=node.database, schema=node.schema, identifier=node.identifier or node.alias
        ) -%}
        {%- if node.resource_type == 'source' -%}
            {%- if bronze_exists(relation) -%}
                {%- do clocks.append({'relation': relation, 'column': 'ingested_at', 'condition': 'true'}) -%}
            {%- endif -%}
        {%- elif '_loaded_at' in node.columns -%}
            {%- set facts = facts_of_this_run(unique_id) -%}
            {%- if facts.is_left -%}
                {%- do clocks.append({'relation': relation, 'newest': facts.loaded_at}) -%}
            {%- elif 'own' in facts -%}
                {#- It was asked before it wrote. What it wrote since begins with this run, and the rest the engine skips. #}
                {%- do clocks.append({
                    'relation': relation,
                    'column': '_loaded_at',
                    'condition': '_loaded_at >= ' ~ loaded_at(),
                    'before': facts.loaded_at,
                }) -%}
            {%- else -%}
                {%- do clocks.append({'relation': relation, 'column': '_loaded_at', 'condition': 'true'}) -%}
            {%- endif -%}
        {%- else -%}
            {%- do clocks.append(none) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(clocks) }}
{%- endmacro %}

{#- End a materialization that has nothing to do. -#}
{% macro leave_as_it_is() -%}
    {%- do facts_of_this_run(model.unique_id).update({'is_left': true}) -%}
    {%- call noop_statement('main', 'nothing new') -%}{%- endcall -%}
    {{ return({'relations': [this]}) }}
{%- endmacro %}
