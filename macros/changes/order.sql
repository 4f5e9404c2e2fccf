{#- Changes with their place in the order of a row's changes, `_cdc_place`, which can be compared. Within a partition it is Kafka's order;
    between partitions, as after more were added to a topic, that of the commits. Why: docs/decisions/0003. -#}
{% macro with_places(changes, key) -%}
    select
        *,
        struct(
            -- Never smaller than at an earlier offset, so that between changes of one partition the offset decides.
            max(struct(_cdc_commit_lsn, _cdc_lsn)) over (
                partition by {{ key_columns(key) }}, _cdc_partition
                order by _cdc_topic_life, _cdc_offset
                rows between unbounded preceding and current row
            ) as clock,
            _cdc_topic_life,
            _cdc_offset
        ) as _cdc_place
    from {{ changes }}
{%- endmacro %}

{#- The columns that name a row, as a list for SQL, each with a prefix if one is given. -#}
{% macro key_columns(key, prefix='') -%}
    {%- for column in ([key] if key is string else key) -%}
        {{ prefix }}{{ column }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{#- Condition that two relations speak of the same row. -#}
{% macro same_key(key, left, right) -%}
    {%- for column in ([key] if key is string else key) -%}
        {{ left }}.{{ column }} = {{ right }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
