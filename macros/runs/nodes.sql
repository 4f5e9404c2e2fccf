{#- The table or view of a node of dbt's graph, or of a source. -#}
{% macro relation_of(node) -%}
    {{ return(api.Relation.create(database=node.database, schema=node.schema, identifier=node.identifier or node.alias)) }}
{%- endmacro %}

{#- Whether a node of dbt's graph is a base model: it decodes one Bronze table. It is recognised by the macro that it calls, as are the kinds below. -#}
{% macro is_base_model(node) -%}
    {{ return(node.resource_type == 'model' and modules.re.search('\\bdecode_changes\\(', node.raw_code) is not none) }}
{%- endmacro %}

{#- The source that a base model decodes; none where it has none. -#}
{% macro bronze_of(node) -%}
    {{ return(graph.get('sources', {}).values() | selectattr('unique_id', 'in', node.depends_on.nodes) | first | default(none)) }}
{%- endmacro %}

{#- Whether a node of dbt's graph is a model of `history`: its table has a row for each version of a row of the bank's. -#}
{% macro is_history(node) -%}
    {{ return(node.resource_type == 'model' and modules.re.search('\\bhistory\\(\\s*(changes\\s*=\\s*)?ref', node.raw_code) is not none) }}
{%- endmacro %}

{#- Whether it is a model of `history` or of `current_state`: its rows keep where their change stood. -#}
{% macro has_states(node) -%}
    {{ return(node.resource_type == 'model' and modules.re.search('\\b(history|current_state)\\(\\s*(changes\\s*=\\s*)?ref', node.raw_code) is not none) }}
{%- endmacro %}

{#- Whether a node of dbt's graph has a table whose rows carry the number of their run: an incremental model that declares it, and any model of one of
    the macros that add it. -#}
{% macro has_run_numbers(node) -%}
    {{ return(
        node.resource_type == 'model'
        and node.config.materialized == 'incremental'
        and ('_run_number' in node.columns or is_base_model(node) or has_states(node))
    ) }}
{%- endmacro %}
