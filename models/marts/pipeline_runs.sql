{{ config(materialized='view', meta={'lists_bases': true}) }}

-- All base models are asked, also one that was added. These are named so that they come first, and for the lineage.
-- depends_on: {{ ref('base_bank__customer_changes') }}, {{ ref('base_bank__checking_account_changes') }}
-- depends_on: {{ ref('base_bank__transaction_changes') }}, {{ ref('base_bank__scheduled_payment_changes') }}
-- depends_on: {{ ref('base_bank__purchase_changes') }}
with

changes as (

    {%- for base in base_models() %}

        select
            '{{ base.bronze_table }}' as bronze_table,
            _cdc_error,
            _cdc_op in ('c', 'u', 'r') and _cdc_error is null as has_row,
            coalesce(_cdc_unknown_fields, array()) as unknown_fields,
            -- What can't be read may lack fields that its table has.
            if(_cdc_error is null, coalesce(_cdc_missing_fields, array()), array()) as missing_fields,
            _cdc_committed_at,
            _ingested_at,
            _run_number,
            _loaded_at
        from {{ base.relation }}
        {{ 'union all' if not loop.last }}
    {%- endfor %}

),

final as (

    select
        bronze_table,
        nullif(array_join(array_sort(flatten(collect_set(unknown_fields))), ', '), '') as unknown_fields,
        nullif(array_join(array_sort(flatten(collect_set(missing_fields))), ', '), '') as missing_fields,
        count(*) as change_count,
        count(_cdc_error) as quarantined_count,
        count_if(has_row) as readable_row_count,
        _run_number as run_number,
        any_value(_loaded_at) as run_started_at,
        max(_cdc_committed_at) as last_committed_at,
        min(_ingested_at) as first_ingested_at,
        max(_ingested_at) as last_ingested_at
    from changes
    group by bronze_table, _run_number

)

select * from final
