{{ config(materialized='view') }}

with

accounts as (

    select * from {{ ref('int_customer_accounts') }}

),

final as (

    select
        customer_id,
        max(balance_at) as updt_ts,
        cast(sum(account_balance) as decimal(20, 2)) as latest_balance
    from accounts
    group by customer_id

)

select * from final
