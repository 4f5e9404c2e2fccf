{#- Which rare cases the new changes have, a dict. The query is planned for those that there are.
    - `renames`: rows got a new primary key and kept large values.
    - `late`: a change is not newer than the row that the table has, or may have a value that a row lacks.
    - `new_resets`: a change is a reset, a truncate or the end of a whole snapshot.
    - `resets`: a reset may have ended some of the changed rows.
    - `many_changes`: there are too many to be broadcast.
    - `in_offset_order`: all changes are on one partition, and there are no resets, so that the offset alone orders them.
    - `ranges`: in the common case, ranges of keys, by which the engine skips files. -#}
{% macro rarities(changes, keys) -%}
    {%- if not execute or load_relation(changes) is none or (is_incremental() and not has_news()) -%}
        {{ return({'renames': false, 'late': false, 'new_resets': false, 'resets': false, 'many_changes': false, 'in_offset_order': true, 'ranges': []}) }}
    {%- endif -%}
    {%- set numbered = (keys | select('in', numeric_columns(changes)) | first) if is_incremental() else none -%}
    {%- set query -%}
        with

        new_changes as (

            select * from {{ changes }}
            where
                _cdc_error is null
                {%- if is_incremental() %}
                and {{ newer_than_this() }}
                {%- endif %}

        ),

        {%- if numbered %}

        bounds as (

            select
                min({{ numbered }}) as lowest,
                max({{ numbered }}) as highest
            from new_changes

        ),
        {%- endif %}

        {#- Ranges without the wide gaps between them: keys that are scattered over the table are near to few others. #}
        ranges as (

            select
                {%- if numbered %}
                concat(min(new_changes.{{ numbered }}), ' and ', max(new_changes.{{ numbered }})) as key_range,
                {%- else %}
                cast(null as string) as key_range,
                {%- endif %}
                count(*) as change_count,
                max(new_changes._cdc_op = 'c' and new_changes._cdc_unavailable is not null) as renames,
                max(if(new_changes._cdc_reset is not null, new_changes._cdc_lsn, null)) as last_reset_lsn,
                min(if(new_changes._cdc_reset is not null, new_changes._cdc_lsn, null)) as first_reset_lsn,
                min(least(new_changes._cdc_lsn, new_changes._cdc_commit_lsn)) as lowest_lsn,
                min(new_changes._cdc_partition) as first_partition,
                max(new_changes._cdc_partition) as last_partition,
                min(struct(new_changes._cdc_topic_life, new_changes._cdc_offset)) as first_place
            from new_changes
            {%- if numbered %}
            cross join bounds
            group by width_bucket(new_changes.{{ numbered }}, bounds.lowest, cast(bounds.highest as double) + 1, 64)
            {%- endif %}

        )

        select
            coalesce(sum(change_count), 0) as change_count,
            coalesce(max(renames), false) as renames,
            max(last_reset_lsn) as last_reset_lsn,
            min(first_reset_lsn) as first_reset_lsn,
            min(lowest_lsn) as lowest_lsn,
            min(first_partition) as first_partition,
            max(last_partition) as last_partition,
            min(first_place)._cdc_topic_life as first_life,
            min(first_place)._cdc_offset as first_offset,
            array_join(array_agg(key_range), ',') as ranges
        from ranges
    {%- endset -%}
    {%- set row = run_query(query).rows[0] -%}
    {%- set facts = facts_of_this_model() -%}
    {%- set partitions = [row['first_partition'], row['last_partition']] + (facts.partitions if is_incremental() else []) -%}
    {%- set found = {
        'many_changes': row['change_count'] > max_rows_to_broadcast(),
        'several_partitions': partitions | unique | list | length > 1,
        'first_place': [row['first_life'], row['first_offset']],
        'first_reset_lsn': row['first_reset_lsn'] | int if row['first_reset_lsn'] is not none else none,
    } -%}
    {%- set ranges = row['ranges'].split(',') if row['ranges'] else ([no_key()] if numbered else []) -%}
    {%- set late = is_incremental() and row['first_offset'] is not none and has_late(changes, keys, found, in_ranges('existing.' ~ numbered, ranges)) -%}
    {%- set new_resets = row['last_reset_lsn'] is not none -%}
    {%- set last_reset_lsn = [row['last_reset_lsn'], facts_of(changes).get('last_reset_lsn')] | reject('none') | map('int') | max -%}
    {%- set resets = (is_incremental() and (late or new_resets)) or (last_reset_lsn and row['lowest_lsn'] is not none and last_reset_lsn > row['lowest_lsn'] | int) -%}
    {%- set rare = {
        'renames': row['renames'] or late,
        'late': late,
        'new_resets': new_resets,
        'resets': resets and last_reset_lsn,
        'many_changes': found.many_changes,
        'in_offset_order': not found.several_partitions and not resets,
        'numbered_key': numbered,
        'ranges': [] if row['renames'] or new_resets or late else ranges,
    } -%}
    {%- do facts.update(rare) -%}
    {{ return(rare) }}
{%- endmacro %}

{#- Above this number of rows a hint has Spark join by sorting. It would broadcast them and run out of memory, as it plans by the table's size in the
    catalog, which is out of date (docs/decisions/0024). -#}
{% macro max_rows_to_broadcast() -%}
    {{ return(1000000) }}
{%- endmacro %}
