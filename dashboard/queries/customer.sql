-- One customer: balance, transactions and scheduled payments side by side.
select
    customer_id,
    latest_balance,
    updt_ts,
    total_transactions,
    average_transaction,
    total_debits,
    total_credits,
    transaction_count,
    scheduled_count,
    scheduled_amount,
    next_due_date,
    overdue_count,
    overdue_amount,
    executed_count,
    failed_count,
    cancelled_count
from customer_profile
where customer_id = :customer_id
