{#- The state that the newest changes leave each row in, deletes folded into is_deleted: one row per key that moved, in the columns that
    the base model declares. -#}
{% macro current_state(changes, key) -%}
    {%- set columns = as_identifiers(declared_columns(of=changes.identifier)) -%}
    {%- set keys = as_identifiers([key] if key is string else key) -%}
    {%- set rare = rarities(changes, keys) -%}
    {{ states_after_changes(changes, columns, keys, rare) }},

    with_next as (

        select
            *,
            lead(true) over ({{ in_order(keys, rare) }}) as _cdc_has_next
        from states

    ),

    final as (

        select
            {{ columns_of_state(columns, keys) }},
            {{ run_number() }} as _run_number,
            {{ loaded_at() }} as _loaded_at
        from with_next
        where
            _cdc_has_next is null
            and not _cdc_is_known

    )

    select * from final
{%- endmacro %}

{#- The columns of a row of `states` as a table has them. -#}
{% macro columns_of_state(columns, keys) -%}
    {%- for column in columns %}
    {{ column.name ~ '.value as ' if column.name not in keys }}{{ column.name }},
    {%- endfor %}
    is_deleted,
    {%- for name in state_metadata() %}
    {{ name }},
    {%- endfor %}
    {{ unknown_values(columns, keys) }} as _cdc_unavailable
{%- endmacro %}
