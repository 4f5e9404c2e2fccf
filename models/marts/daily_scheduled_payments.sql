{{ config(materialized='view') }}

with

blocks as (

    select * from {{ ref('int_daily_scheduled_payments') }}

),

final as (

    select
        status,
        cast(sum(total_amount) as decimal(22, 2)) as total_amount,
        sum(payment_count) as payment_count,
        {{ is_overdue() }} as is_overdue,
        due_date
    from blocks
    group by status, due_date
    having sum(payment_count) > 0

)

select * from final
