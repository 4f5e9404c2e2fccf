{{ config(materialized='view') }}

with

totals as (

    select * from {{ ref('int_transaction_totals') }}
    where transaction_date is not null

),

final as (

    select
        category,
        cast(sum(total_debits) + sum(total_credits) as decimal(22, 2)) as total_transactions,
        cast(sum(total_debits) as decimal(22, 2)) as total_debits,
        cast(sum(total_credits) as decimal(22, 2)) as total_credits,
        sum(transaction_count) as transaction_count,
        transaction_date
    from totals
    group by category, transaction_date
    having sum(transaction_count) > 0

)

select * from final
