{#- Put small files together, and the rows of each table that is merged into in the order of its key, within a history's two partitions: a run then
    finds its rows in few files. On Databricks predictive optimization does it by itself. -#}
{% macro optimize_tables() -%}
    {%- for node in (graph.sources.values() | list) + (graph.nodes.values() | list) -%}
        {%- set clustered_by = node.config.get('liquid_clustered_by') or (node.config.unique_key[0] if is_history(node) else none) -%}
        {%- if clustered_by or node.resource_type == 'source' -%}
            {%- set relation = load_relation(relation_of(node)) -%}
            {%- if relation is not none -%}
                {%- do log('optimize ' ~ relation, info=true) -%}
                {%- do run_query(optimize_sql(relation, clustered_by)) -%}
                {%- if clustered_by and target.type != 'databricks' -%}
                    {%- do use_deletion_vectors_where_they_pay(relation) -%}
                {%- endif -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- Compact small files, once in `runs_between_compactions` runs that write. Each run adds one or more files to a table, and each scan opens all of them.
    OPTIMIZE leaves large files as they are. Rows are not ordered by key, as `make optimize` does. On Databricks, predictive optimization does this, and a
    process that stays does it between its runs. -#}
{% macro compact_when_due() -%}
    {%- set wrote = this_run().models.values() | selectattr('has_run', 'defined') | list -%}
    {%- if target.type != 'databricks' and 'financial_insights_memory' not in graph and wrote and this_run().number % var('runs_between_compactions') == 0 -%}
        {%- for node in (graph.sources.values() | list) + (graph.nodes.values() | list) if node.resource_type == 'source' or has_run_numbers(node) -%}
            {%- set relation = load_relation(relation_of(node)) -%}
            {%- if relation is not none -%}
                {%- do run_query('optimize ' ~ relation) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{#- With deletion vectors a merge rewrites no files, but each scan costs another Spark job. That pays on a table of more than 50 MB. -#}
{% macro use_deletion_vectors_where_they_pay(relation) -%}
    {%- set table = run_query('describe detail ' ~ relation).rows[0] -%}
    {%- if table['sizeInBytes'] > 50000000 and 'deletionVectors' not in table['tableFeatures'] -%}
        {%- do run_query("alter table " ~ relation ~ " set tblproperties ('delta.enableDeletionVectors' = 'true')") -%}
    {%- endif -%}
{%- endmacro %}

{#- The statement that optimizes a table. -#}
{% macro optimize_sql(relation, clustered_by) -%}
    {{ return(adapter.dispatch('optimize_sql')(relation, clustered_by)) }}
{%- endmacro %}

{% macro default__optimize_sql(relation, clustered_by) -%}
    {#- Messages and changes come in the order of time by themselves. -#}
    optimize {{ relation }}{% if clustered_by and clustered_by != '_run_number' %} zorder by ({{ clustered_by }}){% endif %}
{%- endmacro %}

{#- The table knows its clustering. -#}
{% macro databricks__optimize_sql(relation, clustered_by) -%}
    optimize {{ relation }}
{%- endmacro %}
