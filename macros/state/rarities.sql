{#- Which rare cases the new changes have, a dict. Each makes the query slow to plan. `renames`: rows got a new primary key and kept large values.
    `late`: a change arrived after a newer one of its row, or may have a value that a row lacks. `new_resets`: a change emptied the table.
    `resets`: one may have emptied it after some of the changes. Without these, the query skips files by literals: `ranges` of keys, and
    the `lowest_lsn`. -#}
{% macro rarities(changes, keys) -%}
    {%- if not execute or load_relation(changes) is none or (is_incremental() and not has_news()) -%}
        {{ return({'renames': false, 'late': false, 'new_resets': false, 'resets': false}) }}
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
                max(new_changes._cdc_op = 'c' and new_changes._cdc_unavailable is not null) as renames,
                max(new_changes._cdc_reset is not null) as resets,
                min(greatest(new_changes._cdc_lsn, new_changes._cdc_commit_lsn)) as lowest_lsn,
                min(new_changes._cdc_partition) as first_partition,
                max(new_changes._cdc_partition) as last_partition
            from new_changes
            {%- if numbered %}
            cross join bounds
            group by width_bucket(new_changes.{{ numbered }}, bounds.lowest, cast(bounds.highest as double) + 1, 64)
            {%- endif %}

        )

        select
            coalesce(max(renames), false) as renames,
            coalesce(max(resets), false) as resets,
            min(lowest_lsn) as lowest_lsn,
            min(first_partition) as first_partition,
            max(last_partition) as last_partition,
            array_join(array_agg(key_range), ',') as ranges
        from ranges
    {%- endset -%}
    {%- set found = run_query(query).rows[0] -%}
    {%- set ranges = found['ranges'].split(',') if found['ranges'] else ([no_key()] if numbered else []) -%}
    {%- set late = is_incremental() and found['first_partition'] is not none and has_late(changes, keys, found, in_ranges('existing.' ~ numbered, ranges)) -%}
    {%- set is_rare = found['renames'] or found['resets'] or late -%}
    {%- set lowest_lsn = none if is_rare else found['lowest_lsn'] -%}
    {%- set last_reset_lsn = facts_of(changes).get('last_reset_lsn') -%}
    {%- set rare = {
        'renames': found['renames'] or late,
        'late': late,
        'new_resets': found['resets'],
        'resets': found['resets'] or (last_reset_lsn is not none and (lowest_lsn is none or last_reset_lsn > lowest_lsn)),
        'numbered_key': numbered,
        'ranges': [] if is_rare else ranges,
        'lowest_lsn': lowest_lsn,
    } -%}
    {%- do facts_of_this_model().update(rare) -%}
    {{ return(rare) }}
{%- endmacro %}
