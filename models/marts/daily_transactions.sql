{{ config(materialized='view') }}

with

blocks as (

    select * from {{ ref('int_daily_transactions') }}

),

final as (

    select
        category,
        cast(sum(total_debits) + sum(total_credits) as decimal(22, 2)) as total_transactions,
        cast(sum(total_debits) as decimal(22, 2)) as total_debits,
        cast(sum(total_credits) as decimal(22, 2)) as total_credits,
        sum(transaction_count) as transaction_count,
        transaction_date
    from blocks
    group by category, transaction_date
    having sum(transaction_count) > 0

)

select * from final
