{#- What is known of this run of dbt: a dict of its `number`, and of `models`, what is known of each incremental model's table. Two
    statements ask it once, before the first model. dbt's graph keeps it for this invocation: a process that runs dbt again with the
    same manifest asks again. Progress is in the tables' own rows and in Bronze's offsets, and has no clock (docs/decisions/0023). -#}
{% macro this_run() -%}
    {#- A unit test has no graph. #}
    {%- if not execute or 'nodes' not in graph -%}
        {{ return({'number': 1, 'models': {}}) }}
    {%- endif -%}
    {%- if graph.get('financial_insights_run', {}).get('invocation_id') != invocation_id -%}
        {%- set models = read_progress() -%}
        {%- do look_at_bronze(models) -%}
        {%- do graph.update({'financial_insights_run': {
            'invocation_id': invocation_id,
            'number': (models.values() | map(attribute='read_up_to') | max | default(0, true)) + 1,
            'models': models,
        }}) -%}
    {%- endif -%}
    {{ return(graph.financial_insights_run) }}
{%- endmacro %}

{#- Before the first model of a command that writes: see to it that no other run writes, and ask what is known. -#}
{% macro open_run() -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'retry') -%}
        {%- do begin_run() -%}
        {%- do this_run() -%}
    {%- endif -%}
{%- endmacro %}

{#- After the last model of such a command, also when models failed. -#}
{% macro close_run() -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'retry') -%}
        {%- do end_run() -%}
        {%- do renew_views_of_bases() -%}
    {%- endif -%}
{%- endmacro %}

{#- What is known of the calling model's table; empty of one that is not there. -#}
{% macro facts_of_this_model() -%}
    {{ return(this_run().models.setdefault(model.unique_id, {'relation': none, 'read_up_to': 0})) }}
{%- endmacro %}

{#- Whether a node of dbt's graph has a table whose rows carry the number of their run: an incremental model that declares it, and any base model, as
    `decode_changes` adds it. -#}
{% macro has_run_numbers(node) -%}
    {{ return(
        node.resource_type == 'model'
        and node.config.materialized == 'incremental'
        and ('_run_number' in node.columns or node.name.startswith('base_'))
    ) }}
{%- endmacro %}

{#- What is known of the table of a model that the calling one reads, by its relation; empty of one that was not there when the run began. -#}
{% macro facts_of(relation) -%}
    {%- for unique_id in model.depends_on.nodes if unique_id in graph.nodes and graph.nodes[unique_id].alias == relation.identifier -%}
        {{ return(this_run().models.get(unique_id, {})) }}
    {%- endfor -%}
    {{ return({}) }}
{%- endmacro %}

{#- The number of this run, which every row carries that it writes. Larger than that of any run before. -#}
{% macro run_number() -%}
    cast({{ this_run().number }} as bigint)
{%- endmacro %}

{#- The number of the last run that wrote to the calling model's table; 0 where there is none. -#}
{% macro read_up_to() -%}
    {{ return(facts_of_this_model().read_up_to) }}
{%- endmacro %}

{#- Condition on a parent's rows: a run wrote them that came after the last one of the model. -#}
{% macro newer_than_this() -%}
    _run_number > {{ read_up_to() }}
{%- endmacro %}

{#- When the dbt run that writes this row began, UTC. For who reads it: nothing is decided by it. -#}
{% macro loaded_at() -%}
    timestamp '{{ run_started_at.strftime("%Y-%m-%dT%H:%M:%S.%f") }}Z'
{%- endmacro %}
