{#- A table is rebuilt when its declared columns change. Otherwise old rows would lack the new column, field or type. Each incremental table keeps a
    fingerprint of its declaration, in a property (docs/decisions/0019). -#}
{% macro should_full_refresh() -%}
    {{ return(dbt.should_full_refresh() or is_declared_anew()) }}
{%- endmacro %}

{#- Whether the model's table was built of another declaration. -#}
{% macro is_declared_anew() -%}
    {%- if not execute or model.resource_type != 'model' or model.config.materialized != 'incremental' -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set facts = facts_of_this_model() -%}
    {%- if facts.relation is none or facts.is_as_declared -%}
        {{ return(false) }}
    {%- endif -%}
    {%- if not facts.get('is_told') and flags.FULL_REFRESH is not true -%}
        {%- do facts.update({'is_told': true}) -%}
        {%- do refuse_to_lose_rows() -%}
        {%- do log(model.name ~ ': its columns are declared otherwise than when it was built. It is built anew.', info=true) -%}
    {%- endif -%}
    {{ return(true) }}
{%- endmacro %}

{#- Whether a table's fingerprint is that of a node of dbt's graph. A table that has none, as it is older than these, gets it if its columns are those
    that are declared. -#}
{% macro is_as_declared(node, relation) -%}
    {%- if has_property(relation, fingerprint_property(), fingerprint(node)) -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set property = run_query("show tblproperties " ~ relation ~ " ('" ~ fingerprint_property() ~ "')").rows[0]['value'] -%}
    {%- if property | length == 32 -%}
        {{ return(property == fingerprint(node)) }}
    {%- endif -%}
    {%- set declared, built = [], [] -%}
    {%- for column in declaration(node) -%}
        {%- do declared.append((column.name ~ ' ' ~ column.data_type) | lower | replace(' ', '')) -%}
    {%- endfor -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do built.append((column.name ~ ' ' ~ column.dtype) | lower | replace(' ', '')) -%}
    {%- endfor -%}
    {#- An older version of the project did not write run numbers. #}
    {%- do declared.append('_run_numberbigint') -%}
    {%- if declared | reject('in', built) | list -%}
        {{ return(false) }}
    {%- endif -%}
    {%- do run_query("alter table " ~ relation ~ " set tblproperties ('" ~ fingerprint_property() ~ "' = '" ~ fingerprint(node) ~ "')") -%}
    {{ return(true) }}
{%- endmacro %}

{#- Whether dbt's cached list of tables shows that a table or view has a property. The local target's list shows properties; those of Delta tables
    because of spark.databricks.delta.catalog.update.enabled (local/services.py). -#}
{% macro has_property(relation, name, value) -%}
    {{ return(relation is not none and relation.information is string and (name ~ '=' ~ value) in relation.information) }}
{%- endmacro %}

{#- Name of the property. -#}
{% macro fingerprint_property() -%}
    {{ return('financial_insights.declared') }}
{%- endmacro %}

{#- What a table's rows depend on, of all that YAML declares: the columns of its node in dbt's graph, or of the base model that a model of states takes
    them from; a list of {name, data_type, options}. -#}
{% macro declaration(node) -%}
    {%- for unique_id in node.depends_on.nodes if has_states(node) and unique_id in graph.nodes -%}
        {%- if is_base_model(graph.nodes[unique_id]) -%}
            {{ return(declared_columns(of=graph.nodes[unique_id].name)) }}
        {%- endif -%}
    {%- endfor -%}
    {%- set columns = [] -%}
    {%- for column in node.columns.values() -%}
        {%- do columns.append({'name': column.name, 'data_type': column.data_type, 'options': column.config.meta}) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{#- A digest of the declaration and of the key; for a base model or a history also of its one line of SQL. The order of columns does not matter. -#}
{% macro fingerprint(node) -%}
    {%- set line = node.raw_code if is_base_model(node) or is_history(node) else '' -%}
    {%- set declared = [node.config.unique_key | string, line, '_run_number'] -%}
    {%- for column in declaration(node) | sort(attribute='name') -%}
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
        {%- set bronze = relation_of(node) -%}
        {%- set lost -%}
            select 1
            from {{ this }} as known
            {%- if bronze_exists(bronze) %}
            left anti join {{ bronze }} as landed
                on
                    known._cdc_partition = landed.partition
                    and known._cdc_offset = landed.offset
                    {%- if '_cdc_topic_life' in adapter.get_columns_in_relation(this) | map(attribute='name') | list %}
                    and known._cdc_topic_life = coalesce(landed.topic_life, 1)
                    {%- endif %}
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
        {%- do all_properties.update({fingerprint_property(): fingerprint(graph.nodes[model.unique_id])}) -%}
        {%- for column in declaration(graph.nodes[model.unique_id]) if modules.re.search('[ ,;{}()\n\t=]', column.name) -%}
            {#- Delta takes such a name only where it isn't a name in the files as well. #}
            {%- do all_properties.update({'delta.columnMapping.mode': 'name'}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(all_properties) }}
{%- endmacro %}
