{#- Adds to what is known of each selected base model what is new in its Bronze table, which is all of it for a model that is built again (`reads_all`): `landed`,
    the last offset of each life and partition, as in `offsets`; `lowest_lsn`, the lowest LSN among the new messages, none where `reads_all`; `deletes`,
    whether one of them may be a delete, by its text; and `is_plain`, whether all are without a schema. One query over all Bronze tables. -#}
{% macro look_at_bronze(models) -%}
    {%- set fields = {'source': 'struct<lsn: bigint, sequence: string>'} -%}
    {%- set asked = [] -%}
    {%- for node in graph.nodes.values() if node.unique_id in models and is_base_model(node) and is_selected(node) -%}
        {%- set source = bronze_of(node) -%}
        {%- set bronze = load_relation(relation_of(source)) if source else none -%}
        {%- set known = models[node.unique_id] -%}
        {%- do known.update({'landed': {}, 'lowest_lsn': none, 'deletes': false, 'is_plain': true, 'reads_all': is_built_again(node, known)}) -%}
        {%- if known.reads_all -%}
            {%- do known.update({'offsets': {}}) -%}
        {%- endif -%}
        {%- if bronze is not none -%}
            {%- do asked.append({'model': node.unique_id, 'bronze': bronze, 'offsets': known.offsets, 'reads_all': known.reads_all}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if asked -%}
        {%- set query -%}
            select
                model,
                topic_life,
                kafka_partition,
                max(kafka_offset) as kafka_offset,
                min({{ change_lsn() }}) as lowest_lsn,
                max(may_be_delete) as deletes,
                min(is_plain) as is_plain
            from (
                select
                    *,
                    {{ payload_of('_value_read', fields) }} as _message,
                    -- A message with `"payload"` anywhere in its text counts as having a schema.
                    contains_payload is not true as is_plain
                from (
                    {%- for one in asked %}
                    select
                        '{{ one.model }}' as model,
                        coalesce(topic_life, 1) as topic_life,
                        partition as kafka_partition,
                        offset as kafka_offset,
                        contains(cast(value as string), '"payload"') or contains(cast(key as string), '"payload"') as contains_payload,
                        -- A delete has `"op": "d"`, with spaces or without.
                        contains(cast(value as string), '"d"') as may_be_delete,
                        {#- The lowest LSN serves to find rows that the table has. A table that is built again has none, so no JSON is read. #}
                        from_json(cast({{ 'null' if one.reads_all else 'value' }} as string), {{ quoted(json_schema(fields)) }}) as _value_read
                    from {{ one.bronze }}
                    where
                        value is not null
                        and {{ after_offsets(one.offsets) }}
                    {{- ' union all' if not loop.last }}
                    {%- endfor %}
                )
            )
            group by model, topic_life, kafka_partition
        {%- endset -%}
        {%- for row in run_query(query).rows -%}
            {%- set known = models[row['model']] -%}
            {%- do known.landed.update({row['topic_life'] ~ ':' ~ row['kafka_partition']: row['kafka_offset'] | int}) -%}
            {%- if row['lowest_lsn'] is not none -%}
                {%- do known.update({'lowest_lsn': [known.lowest_lsn, row['lowest_lsn'] | int] | reject('none') | min}) -%}
            {%- endif -%}
            {%- do known.update({'deletes': known.deletes or row['deletes'], 'is_plain': known.is_plain and row['is_plain']}) -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{#- Whether this run builds a base model's table from all messages: there is no table, its declaration changed, or the run is a full refresh. -#}
{% macro is_built_again(node, known) -%}
    {%- set asked_for = node.config.full_refresh if node.config.full_refresh is not none else flags.FULL_REFRESH -%}
    {{ return(known.relation is none or not known.is_as_declared or asked_for is true) }}
{%- endmacro %}

{#- Condition on a Bronze table's messages: they came after some offsets, given for each life and partition of the topic that has one; all of any other
    life or partition. Written in comparisons with literals alone, by which the engine skips files. -#}
{% macro after_offsets(offsets) -%}
    {%- if not offsets -%}
        true
    {%- else -%}
        {%- set lives, partitions = [], [] -%}
        {%- for place in offsets -%}
            {%- do lives.append(place.split(':')[0] | int) -%}
            {%- do partitions.append(place.split(':')[1] | int) -%}
        {%- endfor -%}
        (
            topic_life > {{ lives | max }}
            or partition > {{ partitions | max }}
            {%- for life in range(1, (lives | max) + 1) %}
            {%- for partition in range((partitions | max) + 1) %}
            or {{ of_life_and_partition(life, partition) }}
                {%- if life ~ ':' ~ partition in offsets %} and offset > {{ offsets[life ~ ':' ~ partition] }}{% endif %}
            {%- endfor %}
            {%- endfor %}
        )
    {%- endif -%}
{%- endmacro %}

{#- Condition on a Bronze table's messages: up to some offsets, and of no other life or partition than those that are named. -#}
{% macro up_to_offsets(offsets) -%}
    {{ 'false' if not offsets }}
    {%- if offsets -%}
    (
        {%- for place, offset in offsets.items() %}
        {{ 'or ' if not loop.first }}{{ of_life_and_partition(place.split(':')[0] | int, place.split(':')[1] | int) }} and offset <= {{ offset }}
        {%- endfor %}
    )
    {%- endif -%}
{%- endmacro %}

{#- Condition on a Bronze table's messages: of this life of the topic, and on this partition. Messages from before lives were counted are of the first. -#}
{% macro of_life_and_partition(life, partition) -%}
    {{ '(topic_life = 1 or topic_life is null)' if life == 1 else 'topic_life = ' ~ life }} and partition = {{ partition }}
{%- endmacro %}

{#- Whether ingestion has made this Bronze table: it does when the topic appears. -#}
{% macro bronze_exists(bronze) -%}
    {{ return(not execute or load_relation(bronze) is not none) }}
{%- endmacro %}
