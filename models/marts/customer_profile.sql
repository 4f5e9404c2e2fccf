{{ config(materialized='view') }}

with

customers as (

    select customer_id from {{ ref('stg_bank__customers') }}
    where not is_deleted

),

balances as (

    select * from {{ ref('customer_balance') }}

),

transactions as (

    select * from {{ ref('transaction_summary') }}

),

payments as (

    select * from {{ ref('scheduled_payments_summary') }}

),

final as (

    select
        customers.customer_id,
        balances.latest_balance,
        balances.updt_ts,
        coalesce(transactions.total_transactions, 0) as total_transactions,
        transactions.average_transaction,
        coalesce(transactions.total_debits, 0) as total_debits,
        coalesce(transactions.total_credits, 0) as total_credits,
        coalesce(transactions.transaction_count, 0) as transaction_count,
        coalesce(payments.scheduled_count, 0) as scheduled_count,
        coalesce(payments.scheduled_amount, 0) as scheduled_amount,
        payments.next_due_date,
        coalesce(payments.overdue_count, 0) as overdue_count,
        coalesce(payments.overdue_amount, 0) as overdue_amount,
        coalesce(payments.executed_count, 0) as executed_count,
        coalesce(payments.failed_count, 0) as failed_count,
        coalesce(payments.cancelled_count, 0) as cancelled_count
    from customers
    left join balances on customers.customer_id = balances.customer_id
    left join transactions on customers.customer_id = transactions.customer_id
    left join payments on customers.customer_id = payments.customer_id

)

select * from final
