{#- A row's versions (slowly changing dimension, type 2): one for each change, in the order of the log. A delete, a truncate and a whole snapshot end a row
    with a version that has `is_deleted`. Two changes update the current version instead: a change of columns that are not `tracked`, and a
    snapshot's reading of a row that has not changed. The query returns each version that is new or changed. -#}
{% macro history(changes, key, tracked=none) -%}
    {%- set columns = as_identifiers(declared_columns(of=changes.identifier)) -%}
    {%- set keys = as_identifiers([key] if key is string else key) -%}
    {%- set values = columns | rejectattr('name', 'in', keys) | list -%}
    {%- do refuse_names_of_versions(columns) -%}
    {%- set rare = rarities(changes, keys) -%}
    {%- do facts_of_this_model().update({'merges_current_versions': not rare.late}) -%}
    {{ states_after_changes(
        changes, columns, keys, rare, kept=[{'name': 'version_number', 'data_type': 'int'}, {'name': 'valid_from', 'data_type': 'timestamp'}]
    ) }},

    compared as (

        select
            *,
            _cdc_is_known or coalesce({{ begins_version(values, keys, rare, as_identifiers(tracked) if tracked is not none else none) }}, true)
                as _cdc_begins_version
        from states

    ),

    numbered as (

        select
            * except (version_number, valid_from),
            coalesce(max(version_number) {{ up_to_here(keys, rare) }} - 1, 0)
            + cast(count_if(_cdc_begins_version) {{ up_to_here(keys, rare) }} as int) as version_number,
            {#- The bank's clock may be set back. A version never begins before the one that it follows. #}
            max(if(_cdc_is_known, valid_from, if(_cdc_begins_version, _cdc_committed_at, null))) {{ up_to_here(keys, rare) }} as valid_from
        from compared

    ),

    with_next as (

        select
            *,
            lead(version_number) over ({{ in_order(keys, rare) }}) as _cdc_next_version,
            lead(valid_from) over ({{ in_order(keys, rare) }}) as valid_to
        from numbered

    ),

    final as (

        select
            version_number,
            valid_from,
            valid_to,
            _cdc_next_version is null as is_current,
            {{ columns_of_state(columns, keys) }},
            {{ run_number() }} as _run_number,
            {{ loaded_at() }} as _loaded_at
        from with_next
        where
            _cdc_next_version is distinct from version_number
            and not (_cdc_is_known and _cdc_next_version is null)

    )

    select * from final
{%- endmacro %}

{#- Condition on a change: it begins a version. NULL for a row's first change. -#}
{% macro begins_version(values, keys, rare, tracked) -%}
    {%- set before = 'over (' ~ in_order(keys, rare) ~ ')' -%}
    {%- set differences = ["_cdc_op <> 'r'" if tracked is none else 'false'] -%}
    {%- for column in values if tracked is none or column.name in tracked -%}
        {%- set is_known = '' -%}
        {%- if is_toastable(column) -%}
            {#- If a large value was unknown and arrives now, that is not a change. #}
            {%- set is_known = ' and not coalesce(' ~ column.name ~ '.is_unknown or lag(' ~ column.name ~ '.is_unknown) ' ~ before ~ ', true)' -%}
        {%- endif -%}
        {%- do differences.append('(not ' ~ column.name ~ '.value <=> lag(' ~ column.name ~ '.value) ' ~ before ~ is_known ~ ')') -%}
    {%- endfor -%}
    is_deleted <> lag(is_deleted) {{ before }}
    or (
        not is_deleted
        and (
            {{ differences | join('\n            or ') }}
        )
    )
{%- endmacro %}

{#- The newest version of each row of a history, deleted rows too, in the columns of current state. -#}
{% macro current_versions(history) -%}
    select * except (version_number, valid_from, valid_to, is_current)
    from {{ history }}
    where is_current
{%- endmacro %}

{#- Raise an error if a column of the bank has a name that a history adds. -#}
{% macro refuse_names_of_versions(columns) -%}
    {%- for column in columns if column.name | replace('`', '') | lower in ['version_number', 'valid_from', 'valid_to', 'is_current'] -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ': ' ~ column.name | replace('`', '') ~ " is a name of a history's own. Declare the bank's column by another name, in the base model: {name: bank_"
            ~ column.name | replace('`', '') ~ ', config: {meta: {field: ' ~ column.field ~ '}}}'
        ) }}
    {%- endfor -%}
{%- endmacro %}
