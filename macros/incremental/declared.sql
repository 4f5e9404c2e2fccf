{#- A table is built anew when its columns are declared otherwise than when it was built: rows that are there already would lack what a
    new column, another field or another type of one says of them. Each incremental table keeps a fingerprint of its declaration, in
    a property (docs/decisions/0019). -#}
{% macro should_full_refresh() -%}
    {{ return(dbt.should_full_refresh() or is_declared_anew()) }}
{%- endmacro %}

{#- Whether the model's table was built of another declaration. Asked once in each run. -#}
{% macro is_declared_anew() -%}
    {%- if not execute or model.resource_type != 'model' or model.config.materialized != 'incremental' -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set facts = facts_of_this_run(model.unique_id) -%}
    {%- if 'is_declared_anew' not in facts -%}
        {%- set found = load_relation(this) is not none and not is_as_declared() -%}
        {%- if found and flags.FULL_REFRESH is not true -%}
            {%- do refuse_to_lose_rows() -%}
            {%- do log(model.name ~ ': its columns are declared otherwise than when it was built. It is built anew.', info=true) -%}
        {%- endif -%}
        {%- do facts.update({'is_declared_anew': found}) -%}
    {%- endif -%}
    {{ return(facts.is_declared_anew) }}
{%- endmacro %}

{#- Whether the table's fingerprint is that of the model. A table that has none, as it is older than these, gets it if its columns are those
    that are declared. -#}
{% macro is_as_declared() -%}
    {%- set property = run_query("show tblproperties " ~ this ~ " ('" ~ fingerprint_property() ~ "')").rows[0]['value'] -%}
    {%- if property | length == 32 -%}
        {{ return(property == fingerprint()) }}
    {%- endif -%}
    {%- set declared, built = [], [] -%}
    {%- for column in declaration() -%}
        {%- do declared.append((column.name ~ ' ' ~ column.data_type) | lower | replace(' ', '')) -%}
    {%- endfor -%}
    {%- for column in adapter.get_columns_in_relation(this) -%}
        {%- do built.append((column.name ~ ' ' ~ column.dtype) | lower | replace(' ', '')) -%}
    {%- endfor -%}
    {%- if declared | reject('in', built) | list -%}
        {{ return(false) }}
    {%- endif -%}
    {%- do run_query("alter table " ~ this ~ " set tblproperties ('" ~ fingerprint_property() ~ "' = '" ~ fingerprint() ~ "')") -%}
    {{ return(true) }}
{%- endmacro %}

{#- Name of the property. -#}
{% macro fingerprint_property() -%}
    {{ return('financial_insights.declared') }}
{%- endmacro %}

{#- What the table's rows depend on, of all that YAML declares: the columns of the model, or of the base model that a staging model takes
    them from; a list of {name, data_type, options}. -#}
{% macro declaration() -%}
    {%- for unique_id in model.depends_on.nodes if model.name.startswith('stg_') and unique_id in graph.nodes -%}
        {%- if graph.nodes[unique_id].name.startswith('base_') -%}
            {{ return(declared_columns(of=graph.nodes[unique_id].name)) }}
        {%- endif -%}
    {%- endfor -%}
    {%- set columns = [] -%}
    {%- for column in model.columns.values() -%}
        {%- do columns.append({'name': column.name, 'data_type': column.data_type, 'options': column.config.meta}) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{#- A digest of the declaration and of the key, which a base model names in its one line of SQL. The order of columns is none of it. -#}
{% macro fingerprint() -%}
    {%- set declared = [config.get('unique_key') | string, model.raw_code if model.name.startswith('base_') else ''] -%}
    {%- for column in declaration() | sort(attribute='name') -%}
        {%- do declared.append(tojson(column, sort_keys=true)) -%}
    {%- endfor -%}
    {{ return(local_md5(declared | join('\n'))) }}
{%- endmacro %}

{#- An error where a table can't be built anew without a loss: of a base model, where Bronze no longer holds a message that it was made of,
    or where `full_refresh: false` says so. -#}
{% macro refuse_to_lose_rows() -%}
    {%- set reason = [] -%}
    {%- if config.get('full_refresh') is false -%}
        {%- do reason.append('full_refresh: false forbids building it anew') -%}
    {%- endif -%}
    {%- for unique_id in model.depends_on.nodes if unique_id in graph.sources -%}
        {%- set node = graph.sources[unique_id] -%}
        {%- set bronze = api.Relation.create(database=node.database, schema=node.schema, identifier=node.identifier) -%}
        {%- set lost -%}
            select 1
            from {{ this }} as known
            {%- if bronze_exists(bronze) %}
            left anti join {{ bronze }} as landed
                on
                    known._cdc_partition = landed.partition
                    and known._cdc_offset = landed.offset
                    and known._ingested_at = landed.ingested_at
            {%- endif %}
            limit 1
        {%- endset -%}
        {%- if run_query(lost).rows | length > 0 -%}
            {%- do reason.append(bronze ~ ' no longer holds all messages that it was made of') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if reason -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ': its columns are declared otherwise than when it was built, and ' ~ reason[0]
            ~ '. Declare them as before, or build it of what there is: dbt build --full-refresh --select ' ~ model.name ~ '+'
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- dbt's clause of a new table's properties, with the fingerprint. -#}
{% macro spark__tblproperties_clause() -%}
    {%- for name, value in with_fingerprint(config.get('tblproperties')).items() -%}
        {{ 'tblproperties (' if loop.first }}'{{ name }}' = '{{ value }}'{{ ')' if loop.last else ', ' }}
    {%- endfor -%}
{%- endmacro %}

{% macro databricks__tblproperties_clause(tblproperties=none) -%}
    {{ dbt.databricks__tblproperties_clause(with_fingerprint(tblproperties or config.get('tblproperties'))) }}
{%- endmacro %}

{#- A table's properties, with the fingerprint where it is an incremental model's, and with what its columns' names ask for. -#}
{% macro with_fingerprint(properties) -%}
    {%- set all_properties = dict(properties or {}) -%}
    {%- if model.resource_type == 'model' and model.config.materialized == 'incremental' -%}
        {%- do all_properties.update({fingerprint_property(): fingerprint()}) -%}
        {%- for column in declaration() if modules.re.search('[ ,;{}()\n\t=]', column.name) -%}
            {#- Delta takes such a name only where it isn't a name in the files as well. #}
            {%- do all_properties.update({'delta.columnMapping.mode': 'name'}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(all_properties) }}
{%- endmacro %}
