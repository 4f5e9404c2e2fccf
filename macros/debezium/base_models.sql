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
