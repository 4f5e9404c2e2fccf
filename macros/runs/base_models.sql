{#- Every base model that has been built, also one that was just added: a list of {name, relation, bronze_table, bronze}. -#}
{% macro base_models() -%}
    {%- set found = [] -%}
    {%- for node in graph.get('nodes', {}).values() | sort(attribute='name') if is_base_model(node) -%}
        {%- set relation = load_relation(relation_of(node)) -%}
        {%- set bronze = bronze_of(node) -%}
        {%- if relation is not none and bronze -%}
            {%- do found.append({
                'name': node.name,
                'relation': relation,
                'bronze_table': bronze.identifier,
                'bronze': relation_of(bronze),
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- Some views read all base models. After a run that built base models, rewrite these views if the run created the table of a base model, which they
    may not have yet, or if the run did not select the views. ALTER VIEW keeps their comments and grants. -#}
{% macro renew_views_of_bases() -%}
    {%- set built, made = [], [] -%}
    {%- for result in results if result.status == 'success' and result.node.resource_type == 'model' -%}
        {%- do built.append(result.node.name) -%}
        {%- if is_base_model(result.node) and not this_run().models.get(result.node.unique_id, {}).get('relation') -%}
            {%- do made.append(result.node.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if built | select('in', base_models() | map(attribute='name') | list) | list -%}
        {%- for node in graph.nodes.values() if node.config.get('meta', {}).get('lists_bases') and (made or node.name not in built) -%}
            {%- set relation = load_relation(relation_of(node)) -%}
            {%- if relation is not none -%}
                {#- dbt refuses `depends_on` lines here. They only order the models of a run. #}
                {%- set lines = [] -%}
                {%- for line in node.raw_code.split('\n') if not line.startswith('-- depends_on:') -%}
                    {%- do lines.append(line) -%}
                {%- endfor -%}
                {%- do run_query('alter view ' ~ relation ~ ' as ' ~ render(lines | join('\n'))) -%}
                {%- if has_property(relation, fingerprint_property(), '') -%}
                    {#- The view no longer matches its fingerprint. #}
                    {%- do run_query("alter view " ~ relation ~ " unset tblproperties ('" ~ fingerprint_property() ~ "')") -%}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
