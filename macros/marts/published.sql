{#- The marts that the calling model depends on, each with the version of every Delta table that it is read from, as a table of values. -#}
{% macro marts_with_versions() -%}
    {%- if not execute -%}
        {{ return('values (cast(null as string), cast(null as map<string, bigint>))') }}
    {%- endif -%}
    {%- set versions, rows = {}, [] -%}
    {%- for unique_id in model.depends_on.nodes | sort if unique_id in graph.nodes -%}
        {%- set entries = [] -%}
        {%- for table in tables_of_mart(unique_id) -%}
            {%- if table not in versions -%}
                {%- do versions.update({table: version_of(table)}) -%}
            {%- endif -%}
            {%- if versions[table] is not none -%}
                {%- do entries.append("'" ~ (relation_of(graph.nodes[table]) | replace('`', '')) ~ "', " ~ versions[table]) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do rows.append("('" ~ graph.nodes[unique_id].alias ~ "', cast(map(" ~ entries | join(', ') ~ ') as map<string, bigint>))') -%}
    {%- endfor -%}
    {{ return('values\n        ' ~ rows | join(',\n        ')) }}
{%- endmacro %}

{#- The tables that a mart is read from: a list of unique ids. -#}
{% macro tables_of_mart(unique_id) -%}
    {%- set tables = tables_behind([unique_id]) -%}
    {%- if graph.nodes[unique_id].config.materialized in ['ephemeral', 'view'] and lists_bases(unique_id) -%}
        {%- for node in graph.nodes.values() if is_base_model(node) and node.unique_id not in tables -%}
            {%- do tables.append(node.unique_id) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(tables | select('in', graph.nodes) | unique | list) }}
{%- endmacro %}

{#- Whether a view, or a view that it reads, lists every base model. -#}
{% macro lists_bases(unique_id) -%}
    {%- set node = graph.nodes.get(unique_id) -%}
    {%- if node and node.config.get('meta', {}).get('lists_bases') -%}
        {{ return(true) }}
    {%- elif node and node.config.materialized in ['ephemeral', 'view'] -%}
        {%- for parent in node.depends_on.nodes if lists_bases(parent) -%}
            {{ return(true) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return(false) }}
{%- endmacro %}

{#- The newest Delta version of a node's table; none where there is no table. A process that keeps the writer's lock keeps it until the table is written
    again. -#}
{% macro version_of(unique_id) -%}
    {%- set facts = this_run().models.get(unique_id, {}) -%}
    {%- if facts.version is none or facts.version is not defined -%}
        {%- set relation = load_relation(relation_of(graph.nodes[unique_id])) -%}
        {%- if relation is none -%}
            {{ return(none) }}
        {%- endif -%}
        {%- do facts.update({'version': newest_version(relation)}) -%}
    {%- endif -%}
    {{ return(facts.version) }}
{%- endmacro %}

{#- The newest Delta version of a table. -#}
{% macro newest_version(relation) -%}
    {{ return(run_query('describe history ' ~ relation ~ ' limit 1').rows[0]['version'] | int) }}
{%- endmacro %}

{#- The versions that the last run published, by the names of the tables; empty before the first. -#}
{% macro published_versions() -%}
    {%- set versions = {} -%}
    {%- set node = graph.nodes.values() | selectattr('name', 'equalto', 'published_marts') | first -%}
    {%- set relation = load_relation(relation_of(node)) if node else none -%}
    {%- if relation is not none -%}
        {%- set query -%}
            select distinct table_name, version
            from (
                select explode(table_versions) as (table_name, version)
                from {{ relation }}
                where _run_number = (select max(_run_number) from {{ relation }})
            )
        {%- endset -%}
        {%- for row in run_query(query).rows -%}
            {%- do versions.update({row['table_name']: row['version'] | int}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(versions) }}
{%- endmacro %}
