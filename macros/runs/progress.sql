{#- What each incremental model's table holds, by unique id: a dict of `relation`, `is_as_declared`, `row_count`, and `read_up_to`, the number of the last
    run that wrote to it. Of a model of changes or states also `offsets`, the last offset of each life and partition of its topic that it has, as
    {'1:0': 27}, the `last_place` among these, [life, offset], the `partitions`, and the `last_lsn`. Of a base model `last_reset_lsn`, the place in the
    log of the last change that emptied the table; of a model of states whether it `is_lacking` a large value. Of a history only the current versions
    are read, as each run that writes to a row writes its current version. One statement over all tables, whichever models the run was asked for. -#}
{% macro read_progress() -%}
    {%- set models, asked = {}, [] -%}
    {%- for node in graph.nodes.values() if has_run_numbers(node) -%}
        {%- set relation = load_relation(relation_of(node)) -%}
        {%- if relation is not none or is_base_model(node) -%}
            {%- set known = {
                'relation': relation,
                'is_as_declared': relation is not none and is_as_declared(node, relation),
                'read_up_to': 0,
                'offsets': {},
                'last_place': [0, 0],
                'last_lsn': 0,
                'row_count': 0,
                'last_reset_lsn': none,
                'partitions': [],
                'is_lacking': false,
            } -%}
            {%- do models.update({node.unique_id: known}) -%}
            {%- if known.is_as_declared -%}
                {%- do asked.append(node) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if asked -%}
        {%- set query -%}
            select
                model,
                topic_life,
                kafka_partition,
                max(run_number) as run_number,
                max(kafka_offset) as kafka_offset,
                max(reset_lsn) as reset_lsn,
                max(lsn) as lsn,
                max(is_lacking) as is_lacking,
                count(*) as row_count
            from (
                {%- for node in asked %}
                {%- set is_base = is_base_model(node) %}
                {%- set is_state = has_states(node) %}
                {%- set has_places = is_base or is_state %}
                select
                    '{{ node.unique_id }}' as model,
                    {{ '_cdc_topic_life' if has_places else 'cast(null as int)' }} as topic_life,
                    {{ '_cdc_partition' if has_places else 'cast(null as int)' }} as kafka_partition,
                    _run_number as run_number,
                    {{ '_cdc_offset' if has_places else 'cast(null as bigint)' }} as kafka_offset,
                    {{ 'if(_cdc_reset is not null, _cdc_lsn, null)' if is_base else 'cast(null as bigint)' }} as reset_lsn,
                    {{ 'greatest(_cdc_lsn, _cdc_commit_lsn)' if is_state else '_cdc_lsn' if is_base else 'cast(null as bigint)' }} as lsn,
                    {{ '_cdc_unavailable is not null' if is_state else 'false' }} as is_lacking
                from {{ models[node.unique_id].relation }}
                {{- ' where is_current' if is_history(node) }}
                {{- ' union all' if not loop.last }}
                {%- endfor %}
            )
            group by model, topic_life, kafka_partition
        {%- endset -%}
        {%- for row in run_query(query).rows -%}
            {%- set known = models[row['model']] -%}
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
            {%- do known.update({'is_lacking': known.is_lacking or row['is_lacking'], 'row_count': known.row_count + row['row_count'] | int}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(models) }}
{%- endmacro %}
