{{ config(materialized='view') }}

with

accounts as (

    select * from {{ ref('int_customer_accounts') }}

),

account_totals as (

    select * from {{ ref('int_transaction_totals') }}
    where account_id is not null

),

customer_totals as (

    select
        accounts.customer_id,
        sum(account_totals.total_debits) as total_debits,
        sum(account_totals.total_credits) as total_credits,
        sum(account_totals.transaction_count) as transaction_count
    from accounts
    inner join account_totals on accounts.account_id = account_totals.account_id
    group by accounts.customer_id
    having sum(account_totals.transaction_count) > 0

),

final as (

    select
        customer_id,
        cast(total_debits + total_credits as decimal(22, 2)) as total_transactions,
        cast(round((total_debits + total_credits) / transaction_count, 2) as decimal(22, 2)) as average_transaction,
        cast(total_debits as decimal(22, 2)) as total_debits,
        cast(total_credits as decimal(22, 2)) as total_credits,
        transaction_count
    from customer_totals

)

select * from final
