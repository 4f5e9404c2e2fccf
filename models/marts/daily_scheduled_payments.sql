{{ config(materialized='view') }}

with

payments as (

    select * from {{ ref('stg_bank__scheduled_payments') }}
    where not is_deleted

),

final as (

    select
        status,
        cast(sum(amount) as decimal(22, 2)) as total_amount,
        count(*) as payment_count,
        {{ is_overdue() }} as is_overdue,
        due_date
    from payments
    group by status, due_date

)

select * from final
