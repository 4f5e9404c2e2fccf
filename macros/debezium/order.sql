{#- Order of changes, oldest first, as a list for ORDER BY. Why not the LSN: docs/decisions/0003. -#}
{% macro change_order() -%}
    _ingested_at, _cdc_offset
{%- endmacro %}

{#- The same order as one value that can be compared. -#}
{% macro change_place(relation=none) -%}
    {%- set prefix = relation ~ '.' if relation else '' -%}
    struct({{ prefix }}_ingested_at, {{ prefix }}_cdc_offset)
{%- endmacro %}
