{#- What each incremental model's table holds, by unique id: a dict of `relation`, `is_as_declared`, `row_count`, and `read_up_to`, the number of the last
    run that wrote to it. Of a model of changes or states also `offsets`, the last offset of each life and partition of its topic that it has, as
    {'1:0': 27}, the `last_place` among these, [life, offset], the `partitions`, and the `last_lsn`. Of a base model `last_reset_lsn`, the place in the
    log of the last change that emptied the table; of a model of states whether it `is_lacking` a large value. One statement over all tables.

    A process that keeps the writer's lock from run to run may also keep what its last run knew (`remembered`). A table that is neither selected nor
    was written to since is then not read, and of another table only the rows of the last known run and of later ones. -#}
{% macro read_progress() -%}
    {%- set models, asked, again = {}, [], [] -%}
    {%- for node in graph.nodes.values() if has_run_numbers(node) -%}
        {%- set relation = load_relation(relation_of(node)) -%}
        {%- if relation is not none or is_base_model(node) -%}
            {%- set known = nothing_known(relation, relation is not none and is_as_declared(node, relation)) -%}
            {%- set before = remembered().get('models', {}).get(node.unique_id, {}) -%}
            {%- if known.is_as_declared and before.is_as_declared and before.read_up_to and not before.is_made -%}
                {%- for name, value in before.items() if name not in ['relation', 'is_as_declared'] and name in known -%}
                    {%- do known.update({name: value.copy() if value is mapping or name in ['partitions', 'last_place'] else value}) -%}
                {%- endfor -%}
            {%- endif -%}
            {%- do models.update({node.unique_id: known}) -%}
            {%- if known.is_as_declared and (not known.read_up_to or before.has_run or is_selected(node)) -%}
                {%- do asked.append(node) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set as_remembered = ask_progress(models, asked) -%}
    {%- for node in asked if models[node.unique_id].read_up_to and node.unique_id not in as_remembered -%}
        {#- The rows of the last known run are gone: somebody else changed the table, as RESTORE does. #}
        {%- do models[node.unique_id].update(nothing_known(models[node.unique_id].relation, true)) -%}
        {%- do again.append(node) -%}
    {%- endfor -%}
    {%- do ask_progress(models, again) -%}
    {{ return(models) }}
{%- endmacro %}

{#- What is known of a table that has not been read. -#}
{% macro nothing_known(relation, is_as_declared) -%}
    {{ return({
        'relation': relation,
        'is_as_declared': is_as_declared,
        'read_up_to': 0,
        'offsets': {},
        'last_place': [0, 0],
        'last_lsn': 0,
        'row_count': 0,
        'last_reset_lsn': none,
        'partitions': [],
        'is_lacking': false,
        'version': none,
    }) }}
{%- endmacro %}

{#- Add to what is known of some nodes what their tables' rows say, from the rows of the last known run on. Returns the unique ids of those whose tables
    still have a row of the last known run, or of which nothing was known. Of a history only the current versions are read, as each run that writes
    to a row writes its current version. -#}
{% macro ask_progress(models, nodes) -%}
    {%- set as_known = [] -%}
    {%- if nodes -%}
        {%- set query -%}
            select
                model,
                topic_life,
                kafka_partition,
                max(run_number) as run_number,
                max(is_of_known_run) as has_known_run,
                max(kafka_offset) as kafka_offset,
                max(reset_lsn) as reset_lsn,
                max(lsn) as lsn,
                max(is_lacking) as is_lacking,
                count_if(not is_of_known_run) as new_row_count
            from (
                {%- for node in nodes %}
                {%- set is_base = is_base_model(node) %}
                {%- set is_state = has_states(node) %}
                {%- set has_places = is_base or is_state %}
                {%- set known = models[node.unique_id] %}
                select
                    '{{ node.unique_id }}' as model,
                    {{ '_cdc_topic_life' if has_places else 'cast(null as int)' }} as topic_life,
                    {{ '_cdc_partition' if has_places else 'cast(null as int)' }} as kafka_partition,
                    _run_number as run_number,
                    _run_number = {{ known.read_up_to }} as is_of_known_run,
                    {{ '_cdc_offset' if has_places else 'cast(null as bigint)' }} as kafka_offset,
                    {{ 'if(_cdc_reset is not null, _cdc_lsn, null)' if is_base else 'cast(null as bigint)' }} as reset_lsn,
                    {{ 'greatest(_cdc_lsn, _cdc_commit_lsn)' if is_state else '_cdc_lsn' if is_base else 'cast(null as bigint)' }} as lsn,
                    {{ '_cdc_unavailable is not null' if is_state else 'false' }} as is_lacking
                from {{ known.relation }}
                where
                    {{ 'is_current' if is_history(node) else 'true' }}
                    {%- if known.read_up_to %}
                    and _run_number >= {{ known.read_up_to }}
                    {%- endif %}
                {{- ' union all' if not loop.last }}
                {%- endfor %}
            )
            group by model, topic_life, kafka_partition
        {%- endset -%}
        {%- for node in nodes if not models[node.unique_id].read_up_to -%}
            {%- do as_known.append(node.unique_id) -%}
        {%- endfor -%}
        {%- for row in run_query(query).rows -%}
            {%- set known = models[row['model']] -%}
            {%- if row['has_known_run'] -%}
                {%- do as_known.append(row['model']) -%}
            {%- endif -%}
            {%- do known.update({'read_up_to': [known.read_up_to, row['run_number'] | int] | max}) -%}
            {%- if row['kafka_offset'] is not none -%}
                {%- do known.offsets.update({row['topic_life'] ~ ':' ~ row['kafka_partition']: row['kafka_offset'] | int}) -%}
                {%- do known.update({'last_place': [known.last_place, [row['topic_life'] | int, row['kafka_offset'] | int]] | max}) -%}
            {%- endif -%}
            {%- if row['lsn'] is not none -%}
                {%- do known.update({'last_lsn': [known.last_lsn, row['lsn'] | int] | max}) -%}
            {%- endif -%}
            {%- if row['reset_lsn'] is not none -%}
                {%- do known.update({'last_reset_lsn': [known.last_reset_lsn, row['reset_lsn'] | int] | reject('none') | max}) -%}
            {%- endif -%}
            {%- if row['kafka_partition'] is not none -%}
                {%- do known.partitions.append(row['kafka_partition'] | int) -%}
            {%- endif -%}
            {%- do known.update({
                'is_lacking': known.is_lacking or row['is_lacking'],
                'row_count': known.row_count + row['new_row_count'] | int,
            }) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(as_known) }}
{%- endmacro %}

{#- What the process's last run knew, and its number; empty in a process that runs dbt once. A process that keeps the writer's lock puts an empty dict of
    this name into the graph of each run. -#}
{% macro remembered() -%}
    {{ return(graph.get('financial_insights_memory', {})) }}
{%- endmacro %}

{#- Whether the command selects a node. -#}
{% macro is_selected(node) -%}
    {{ return(not selected_resources or node.unique_id in selected_resources) }}
{%- endmacro %}
