{{ config(materialized='view') }}

with

transactions as (

    select * from {{ ref('stg_bank__transactions') }}
    where not is_deleted

),

accounts as (

    select * from {{ ref('int_customer_accounts') }}

),

final as (

    select
        accounts.customer_id,
        transactions.account_id,
        transactions.transaction_id,
        transactions.transaction_type,
        coalesce(transactions.category, 'uncategorised') as category,
        transactions.amount,
        transactions.transacted_at
    from transactions
    inner join accounts on transactions.account_id = accounts.account_id

)

select * from final
