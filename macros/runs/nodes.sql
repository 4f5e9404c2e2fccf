{#- The table or view of a node of dbt's graph, or of a source. -#}
{% macro relation_of(node) -%}
    {{ return(api.Relation.create(database=node.database, schema=node.schema, identifier=node.identifier or node.alias)) }}
{%- endmacro %}

{#- Whether a node of dbt's graph is a base model: it decodes one Bronze table. -#}
{% macro is_base_model(node) -%}
    {{ return(node.resource_type == 'model' and node.name.startswith('base_')) }}
{%- endmacro %}

{#- The source that a base model decodes; none where it has none. -#}
{% macro bronze_of(node) -%}
    {{ return(graph.get('sources', {}).values() | selectattr('unique_id', 'in', node.depends_on.nodes) | first | default(none)) }}
{%- endmacro %}

{#- Whether a node of dbt's graph has a table whose rows carry the number of their run: an incremental model that declares it, and any base model, as
    `decode_changes` adds it. -#}
{% macro has_run_numbers(node) -%}
    {{ return(
        node.resource_type == 'model'
        and node.config.materialized == 'incremental'
        and ('_run_number' in node.columns or is_base_model(node))
    ) }}
{%- endmacro %}
