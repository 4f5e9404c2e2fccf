{#- The source's columns that a model declares in its YAML: a list of {name, data_type, field, options}, without what the pipeline
    adds, whose names no other column may have. Of the calling model, or of the one that is named. -#}
{% macro declared_columns(of=none) -%}
    {%- set declared = [] -%}
    {%- set node = model -%}
    {%- if of is not none -%}
        {%- set node = graph.get('nodes', {}).values() | selectattr('name', 'equalto', of) | first | default(model, true) -%}
    {%- endif -%}
    {%- set added = change_metadata() | map(attribute='name') | list -%}
    {%- for name, column in node.columns.items() if name not in added or 'field' in column.config.meta -%}
        {%- set problem = none -%}
        {%- if name | lower in added + ['is_deleted'] or (name | lower).startswith('_cdc_') -%}
            {%- set problem = name ~ " is a name of Silver's own" -%}
        {%- elif declared | map(attribute='name') | map('lower') | select('equalto', name | lower) | list -%}
            {%- set problem = name ~ ' is there twice, as Spark ignores capitals' -%}
        {%- endif -%}
        {%- if '`' in name -%}
            {%- set problem = name ~ ' has a backtick, which dbt does not quote' -%}
        {%- endif -%}
        {%- if problem -%}
            {{ exceptions.raise_compiler_error(
                node.name ~ ': ' ~ problem ~ '. Declare the column by another name, with the one it has in the bank: {name: bank_' ~ name | replace('`', '')
                ~ ', config: {meta: {field: ' ~ column.config.meta.get('field', name) ~ '}}}'
            ) }}
        {%- endif -%}
        {%- do declared.append({
            'name': name,
            'data_type': column.data_type,
            'field': column.config.meta.get('field', name) | string,
            'options': column.config.meta,
        }) -%}
    {%- endfor -%}
    {{ return(declared) }}
{%- endmacro %}

{#- What the pipeline adds to a change: a list of {name, data_type}. -#}
{% macro change_metadata() -%}
    {{ return([
        {'name': '_cdc_change_id', 'data_type': 'string'},
        {'name': '_cdc_op', 'data_type': 'string'},
        {'name': '_cdc_lsn', 'data_type': 'bigint'},
        {'name': '_cdc_commit_lsn', 'data_type': 'bigint'},
        {'name': '_cdc_tx_id', 'data_type': 'bigint'},
        {'name': '_cdc_committed_at', 'data_type': 'timestamp'},
        {'name': '_cdc_topic_life', 'data_type': 'int'},
        {'name': '_cdc_partition', 'data_type': 'int'},
        {'name': '_cdc_offset', 'data_type': 'bigint'},
        {'name': '_cdc_reset', 'data_type': 'string'},
        {'name': '_cdc_before', 'data_type': 'string'},
        {'name': '_cdc_unavailable', 'data_type': 'array<string>'},
        {'name': '_cdc_unknown_fields', 'data_type': 'array<string>'},
        {'name': '_cdc_missing_fields', 'data_type': 'array<string>'},
        {'name': '_cdc_error', 'data_type': 'string'},
        {'name': '_cdc_message', 'data_type': 'struct<topic: string, key: binary, value: binary>'},
        {'name': '_ingested_at', 'data_type': 'timestamp'},
        {'name': '_run_number', 'data_type': 'bigint'},
        {'name': '_loaded_at', 'data_type': 'timestamp'},
    ]) }}
{%- endmacro %}

{#- Names of those columns whose value the message leaves out because the update left it as it was (TOAST); NULL when it has all. -#}
{% macro unavailable_columns(columns) -%}
    {%- set conditions, names = [], [] -%}
    {%- for column in columns if is_toastable(column) -%}
        {%- set condition = is_unavailable('_message.after[' ~ quoted(column.field) ~ ']', column.data_type) -%}
        {%- do conditions.append(condition) -%}
        {%- do names.append('if(' ~ condition ~ ', ' ~ quoted(column.name) ~ ', null)') -%}
    {%- endfor -%}
    if(
        {{ conditions | join('\n        or ') or 'false' }},
        array_compact(array({{ names | join(', ') or 'cast(null as string)' }})),
        null
    )
{%- endmacro %}

{#- Whether Postgres may store a column's values out of line, and leave them out of an update. -#}
{% macro is_toastable(column) -%}
    {{ return(column.data_type in ('string', 'binary') or column.data_type.startswith('array')) }}
{%- endmacro %}

{#- A name as a string literal. -#}
{% macro quoted(name) -%}
    '{{ name | replace("\\", "\\\\") | replace("'", "\\'") }}'
{%- endmacro %}

{#- Names, or columns with a name, in the form that SQL takes for nothing but a name, also where they are words of SQL: `name` in
    backticks, and `literal`, the name as text. The pipeline's own columns begin with `_cdc_`, as no column of the bank's may. -#}
{% macro as_identifiers(named) -%}
    {%- set quoted_names = [] -%}
    {%- for one in named -%}
        {%- do quoted_names.append(
            identifier(one) if one is string else dict(one, name=identifier(one.name), literal=quoted(one.name))
        ) -%}
    {%- endfor -%}
    {{ return(quoted_names) }}
{%- endmacro %}

{#- Names of the columns that hold whole numbers. -#}
{% macro numeric_columns(changes) -%}
    {{ return(as_identifiers(declared_columns(of=changes.identifier))
        | selectattr('data_type', 'in', ['tinyint', 'smallint', 'int', 'bigint']) | map(attribute='name') | list) }}
{%- endmacro %}
