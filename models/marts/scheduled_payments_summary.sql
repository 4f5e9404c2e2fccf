{{ config(materialized='view') }}

with

payments as (

    select
        *,
        status = 'scheduled' as is_scheduled
    from {{ ref('customer_scheduled_payments') }}

),

final as (

    select
        customer_id,
        count_if(is_scheduled) as scheduled_count,
        cast(coalesce(sum(amount) filter (where is_scheduled), 0) as decimal(22, 2)) as scheduled_amount,
        min(due_date) filter (where is_scheduled and not is_overdue) as next_due_date,
        count_if(is_overdue) as overdue_count,
        cast(coalesce(sum(amount) filter (where is_overdue), 0) as decimal(22, 2)) as overdue_amount,
        count_if(status = 'executed') as executed_count,
        count_if(status = 'failed') as failed_count,
        count_if(status = 'cancelled') as cancelled_count
    from payments
    group by customer_id

)

select * from final
