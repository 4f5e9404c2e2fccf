{{ config(materialized='view') }}

{%- set changes = {
    'customers': ref('base_bank__customer_changes'),
    'checking_account': ref('base_bank__checking_account_changes'),
    'transactions': ref('base_bank__transaction_changes'),
    'scheduled_payments': ref('base_bank__scheduled_payment_changes'),
    'purchase_trends': ref('base_bank__purchase_changes'),
} %}

with

final as (

    {%- for table, base in changes.items() %}

        select
            '{{ table }}' as bronze_table,
            _cdc_error as reason,
            _cdc_partition,
            _cdc_offset,
            _ingested_at,
            _loaded_at
        from {{ base }}
        where _cdc_error is not null
        {{ 'union all' if not loop.last }}
    {%- endfor %}

)

select * from final
