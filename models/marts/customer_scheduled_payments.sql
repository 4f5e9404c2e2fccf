{{ config(materialized='view') }}

with

payments as (

    select * from {{ ref('stg_bank__scheduled_payments') }}
    where not is_deleted

),

accounts as (

    select * from {{ ref('int_customer_accounts') }}

),

final as (

    select
        accounts.customer_id,
        payments.account_id,
        payments.payment_id,
        payments.transaction_id,
        payments.payee,
        payments.frequency,
        payments.status,
        payments.amount,
        {{ is_overdue('payments.') }} as is_overdue,
        payments.due_date
    from payments
    inner join accounts on payments.account_id = accounts.account_id

)

select * from final
