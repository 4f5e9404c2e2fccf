-- The scheduled payments of one customer: those that wait for their day, and those that are due in a period.
select
    due_date,
    payment_id,
    account_id,
    payee,
    frequency,
    case when is_overdue then 'overdue' else status end as state,
    amount
from customer_scheduled_payments
where
    customer_id = :customer_id
    and (status = 'scheduled' or due_date between :from_date and :to_date)
order by due_date desc, payment_id desc
limit 500
