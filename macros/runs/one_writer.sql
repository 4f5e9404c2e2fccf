{#- Only one run at a time writes Silver and Gold. The local target uses a lock of the operating system (docs/decisions/0016). On Databricks, the table
    `dbt_runs` records when runs begin and end. A run fails if another one has begun and not ended. Rows are only appended, so writes to the
    table never conflict. If two runs begin at the same moment, each sees the other and both fail. -#}
{% macro begin_run() -%}
    {{ return(adapter.dispatch('begin_run')()) }}
{%- endmacro %}

{% macro default__begin_run() -%}
{%- endmacro %}

{% macro databricks__begin_run() -%}
    {%- if load_relation(dbt_runs()) is none -%}
        {%- do run_query(
            'create table ' ~ dbt_runs() ~ ' (invocation_id string, writer string, is_end boolean, at timestamp) using delta'
        ) -%}
    {%- endif -%}
    {%- do add_to_dbt_runs(invocation_id, is_end=false) -%}
    {%- set others = unfinished_runs() | rejectattr('invocation_id', 'equalto', invocation_id) | list -%}
    {%- set strangers = [] -%}
    {%- for run in others -%}
        {#- A named writer, such as a job, never runs twice at once. So its last run was killed. #}
        {%- if run.writer and run.writer == var('writer') -%}
            {%- do add_to_dbt_runs(run.invocation_id, is_end=true) -%}
        {%- else -%}
            {%- do strangers.append(run) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if strangers -%}
        {%- do add_to_dbt_runs(invocation_id, is_end=true) -%}
        {%- do exceptions.raise_compiler_error(
            'Another run of dbt' ~ (' (' ~ strangers[0].writer ~ ')' if strangers[0].writer) ~ ' has been writing Silver and Gold since '
            ~ strangers[0].at ~ ' UTC. Run dbt again when it has ended; if it was killed or interrupted: dbt run-operation end_killed_runs --target ' ~ target.name
        ) -%}
    {%- endif -%}
{%- endmacro %}

{#- Record that this run has ended. -#}
{% macro end_run() -%}
    {{ return(adapter.dispatch('end_run')()) }}
{%- endmacro %}

{% macro default__end_run() -%}
{%- endmacro %}

{% macro databricks__end_run() -%}
    {%- do add_to_dbt_runs(invocation_id, is_end=true) -%}
{%- endmacro %}

{#- For `dbt run-operation`: record that all killed runs have ended, so that the next run can begin. -#}
{% macro end_killed_runs() -%}
    {%- for run in unfinished_runs() -%}
        {%- do add_to_dbt_runs(run.invocation_id, is_end=true) -%}
        {%- do log('Ended: ' ~ run.invocation_id ~ ', begun at ' ~ run.at ~ ' UTC', info=true) -%}
    {%- endfor -%}
{%- endmacro %}

{#- The runs that have begun and not ended, oldest first: a list of {invocation_id, writer, at}. -#}
{% macro unfinished_runs() -%}
    {%- set query -%}
        select
            invocation_id,
            min(writer) as writer,
            date_format(to_utc_timestamp(min(at), current_timezone()), 'yyyy-MM-dd HH:mm:ss') as at
        from {{ dbt_runs() }}
        group by invocation_id
        having not bool_or(is_end)
        order by at
    {%- endset -%}
    {%- set runs = [] -%}
    {%- for row in run_query(query).rows -%}
        {%- do runs.append({'invocation_id': row['invocation_id'], 'writer': row['writer'], 'at': row['at']}) -%}
    {%- endfor -%}
    {{ return(runs) }}
{%- endmacro %}

{#- Record the beginning or the end of a run. -#}
{% macro add_to_dbt_runs(run, is_end) -%}
    {%- set writer = "'" ~ var('writer') ~ "'" if var('writer') else 'cast(null as string)' -%}
    {%- do run_query(
        "insert into " ~ dbt_runs() ~ " select '" ~ run ~ "', " ~ writer ~ ", " ~ is_end ~ ", current_timestamp()"
    ) -%}
{%- endmacro %}

{#- The table of runs, in the schema of Silver. -#}
{% macro dbt_runs() -%}
    {{ return(api.Relation.create(database=target.database, schema=generate_schema_name('silver', none), identifier='dbt_runs')) }}
{%- endmacro %}
