-- What the bank wrote about one customer over time, the newest first.
select
    valid_from,
    valid_to,
    full_name,
    email,
    is_deleted
from customer_history
where customer_id = :customer_id
order by valid_from desc
