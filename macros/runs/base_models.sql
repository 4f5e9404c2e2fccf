{#- Every base model that has been built, also one that was just added: a list of {name, relation, bronze_table, bronze}. -#}
{% macro base_models() -%}
    {%- set found = [] -%}
    {%- for node in graph.get('nodes', {}).values() | sort(attribute='name') if node.resource_type == 'model' and node.name.startswith('base_') -%}
        {%- set relation = load_relation(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) -%}
        {%- set bronze = graph.get('sources', {}).values() | selectattr('unique_id', 'in', node.depends_on.nodes) | first -%}
        {%- if relation is not none and bronze is defined -%}
            {%- do found.append({
                'name': node.name,
                'relation': relation,
                'bronze_table': bronze.identifier,
                'bronze': api.Relation.create(database=bronze.database, schema=bronze.schema, identifier=bronze.identifier),
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- After a run that built base models: the views that list them all are written again where they may not know one. That is a base model whose table
    this run made, as its views may have been written before; and any, where the run was not asked for the views. Their comments
    and grants stay. -#}
{% macro renew_views_of_bases() -%}
    {%- set built, made = [], [] -%}
    {%- for result in results if result.status == 'success' and result.node.resource_type == 'model' -%}
        {%- do built.append(result.node.name) -%}
        {%- if result.node.name.startswith('base_') and not this_run().models.get(result.node.unique_id, {}).get('relation') -%}
            {%- do made.append(result.node.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if built | select('in', base_models() | map(attribute='name') | list) | list -%}
        {%- for node in graph.nodes.values() if node.config.get('meta', {}).get('lists_bases') and (made or node.name not in built) -%}
            {%- set relation = load_relation(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) -%}
            {%- if relation is not none -%}
                {#- What only orders the models of a run is of no use here, and dbt refuses it. #}
                {%- set lines = [] -%}
                {%- for line in node.raw_code.split('\n') if not line.startswith('-- depends_on:') -%}
                    {%- do lines.append(line) -%}
                {%- endfor -%}
                {%- do run_query('alter view ' ~ relation ~ ' as ' ~ render(lines | join('\n'))) -%}
                {%- if has_property(relation, fingerprint_property(), '') -%}
                    {#- It is not what the fingerprint says any more. #}
                    {%- do run_query("alter view " ~ relation ~ " unset tblproperties ('" ~ fingerprint_property() ~ "')") -%}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
