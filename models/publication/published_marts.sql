{{ config(incremental_strategy='append') }}

-- This model runs after every mart, and not at all if one of them failed.
-- depends_on: {{ ref('customer_balance') }}, {{ ref('customer_balance_history') }}
-- depends_on: {{ ref('customer_history') }}, {{ ref('customer_profile') }}
-- depends_on: {{ ref('customer_scheduled_payments') }}, {{ ref('customer_transactions') }}
-- depends_on: {{ ref('daily_purchases') }}, {{ ref('daily_scheduled_payments') }}
-- depends_on: {{ ref('daily_transactions') }}, {{ ref('pipeline_health') }}
-- depends_on: {{ ref('pipeline_runs') }}, {{ ref('popular_products') }}
-- depends_on: {{ ref('scheduled_payments_summary') }}, {{ ref('transaction_summary') }}
with

final as (

    select
        mart,
        table_versions,
        current_timestamp() as published_at,
        {{ run_number() }} as _run_number,
        {{ loaded_at() }} as _loaded_at
    from {{ marts_with_versions() }} as marts (mart, table_versions)

)

select * from final
