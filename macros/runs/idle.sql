{#- An incremental model without new input is skipped: no statement is sent. Otherwise the adapter's own materialization runs. Locally, an increment is
    written in one statement instead (macros/runs/merge.sql), unless the model has an option that needs the adapter's. -#}

{% materialization incremental, adapter='spark' -%}
    {%- if is_incremental() and not has_news() -%}
        {{ return(leave_as_it_is()) }}
    {%- endif -%}
    {%- do facts_of_this_model().update({'has_run': true, 'is_made': not is_incremental(), 'version': none}) -%}
    {%- if is_incremental() and fits_one_statement() -%}
        {{ return(write_in_one_statement(sql)) }}
    {%- endif -%}
    {{ return(dbt.materialization_incremental_spark()) }}
{%- endmaterialization %}

{% materialization incremental, adapter='databricks' -%}
    {%- if is_incremental() and not has_news() -%}
        {{ return(leave_as_it_is()) }}
    {%- endif -%}
    {%- do facts_of_this_model().update({'has_run': true, 'is_made': not is_incremental(), 'version': none}) -%}
    {{ return(dbt.materialization_incremental_databricks()) }}
{%- endmaterialization %}

{#- Whether the model has new input: a parent has rows of this run, or of a run after the last one that wrote to the model's table; or Bronze has new
    messages. Also true where that is not known, as for a parent without run numbers. -#}
{% macro has_news() -%}
    {%- if not has_run_numbers(model) -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set facts = facts_of_this_model() -%}
    {%- for unique_id in tables_behind(model.depends_on.nodes) -%}
        {%- if unique_id in graph.sources and 'landed' in facts -%}
            {%- if facts.landed -%}
                {{ return(true) }}
            {%- endif -%}
        {%- elif unique_id not in graph.nodes or not has_run_numbers(graph.nodes[unique_id]) or unique_id not in this_run().models -%}
            {{ return(true) }}
        {%- else -%}
            {%- set parent = this_run().models[unique_id] -%}
            {%- if parent.get('has_run') or parent.read_up_to > facts.read_up_to -%}
                {{ return(true) }}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(false) }}
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

{#- End a materialization that has nothing to do. -#}
{% macro leave_as_it_is() -%}
    {%- call noop_statement('main', 'nothing new') -%}{%- endcall -%}
    {{ return({'relations': [this]}) }}
{%- endmacro %}
