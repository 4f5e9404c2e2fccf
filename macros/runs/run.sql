{#- What is known of this run of dbt: a dict of its `number`, and of `models`, what is known of each incremental model's table. Two queries read it,
    before the first model. dbt's graph keeps it for this invocation, so a process that runs dbt again with the same manifest reads it
    again. Progress comes from the tables' rows and Kafka's offsets, not from a clock (docs/decisions/0023). -#}
{% macro this_run() -%}
    {#- A unit test has no graph. #}
    {%- if not execute or 'nodes' not in graph -%}
        {{ return({'number': 1, 'models': {}}) }}
    {%- endif -%}
    {%- if graph.get('financial_insights_run', {}).get('invocation_id') != invocation_id -%}
        {%- set models = read_progress() -%}
        {%- do look_at_bronze(models) -%}
        {%- set numbers = models.values() | map(attribute='read_up_to') | list -%}
        {%- do numbers.append(remembered().get('number', 0)) -%}
        {%- do graph.update({'financial_insights_run': {'invocation_id': invocation_id, 'number': (numbers | max) + 1, 'models': models}}) -%}
        {%- if 'financial_insights_memory' in graph -%}
            {%- do remembered().update({'number': graph.financial_insights_run.number, 'models': models}) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(graph.financial_insights_run) }}
{%- endmacro %}

{#- Whether the command builds models. -#}
{% macro builds_models() -%}
    {{ return(execute and flags.WHICH in ('run', 'build', 'retry')) }}
{%- endmacro %}

{#- Before the first model: refuse to run beside another run, and read progress. -#}
{% macro open_run() -%}
    {%- if builds_models() -%}
        {%- do begin_run() -%}
        {%- do this_run() -%}
    {%- endif -%}
{%- endmacro %}

{#- After the last model, also when models failed. -#}
{% macro close_run() -%}
    {%- if builds_models() -%}
        {%- do end_run() -%}
        {%- do renew_views_of_bases() -%}
        {%- do compact_when_due() -%}
    {%- endif -%}
{%- endmacro %}

{#- What is known of the calling model's table; empty of one that is not there. -#}
{% macro facts_of_this_model() -%}
    {{ return(this_run().models.setdefault(model.unique_id, {'relation': none, 'read_up_to': 0})) }}
{%- endmacro %}

{#- What is known of the table of a model that the calling one reads, by its relation; empty of one that was not there when the run began. -#}
{% macro facts_of(relation) -%}
    {%- for unique_id in model.depends_on.nodes if unique_id in graph.nodes and graph.nodes[unique_id].alias == relation.identifier -%}
        {{ return(this_run().models.get(unique_id, {})) }}
    {%- endfor -%}
    {{ return({}) }}
{%- endmacro %}

{#- The number of this run, which is on every row that it writes. Each run's number is larger than the last one's. -#}
{% macro run_number() -%}
    cast({{ this_run().number }} as bigint)
{%- endmacro %}

{#- The number of the last run that wrote to the calling model's table; 0 where there is none. -#}
{% macro read_up_to() -%}
    {{ return(facts_of_this_model().read_up_to) }}
{%- endmacro %}

{#- Condition on a parent's rows: the model has not read them yet. -#}
{% macro newer_than_this() -%}
    _run_number > {{ read_up_to() }}
{%- endmacro %}

{#- When the dbt run that writes this row began, UTC. Information only: no model reads by it. -#}
{% macro loaded_at() -%}
    timestamp '{{ run_started_at.strftime("%Y-%m-%dT%H:%M:%S.%f") }}Z'
{%- endmacro %}
