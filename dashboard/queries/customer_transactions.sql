-- The newest transactions of one customer in a period, in all categories or one.
select
    transacted_at,
    transaction_id,
    account_id,
    category,
    transaction_type,
    amount
from customer_transactions
where
    customer_id = :customer_id
    and to_date(transacted_at) between :from_date and :to_date
    and (:category = 'all' or category = :category)
order by transacted_at desc, transaction_id desc
limit 500
