-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries
select
    payment__due_date__day as due_date,
    customer_scheduled_payments,
    customer_scheduled_amount,
    customer_overdue_payments,
    customer_overdue_amount,
    customer_executed_payments,
    customer_failed_payments,
    customer_cancelled_payments,
    round(customer_failed_payments / nullif(customer_tried_payments, 0), 4) as customer_payment_failure_rate
from (
    SELECT
      payment__due_date__day
      , SUM(customer_scheduled_payments) AS customer_scheduled_payments
      , SUM(customer_scheduled_amount) AS customer_scheduled_amount
      , SUM(customer_overdue_payments) AS customer_overdue_payments
      , SUM(customer_overdue_amount) AS customer_overdue_amount
      , SUM(customer_executed_payments) AS customer_executed_payments
      , SUM(customer_failed_payments) AS customer_failed_payments
      , SUM(customer_cancelled_payments) AS customer_cancelled_payments
      , SUM(customer_tried_payments) AS customer_tried_payments
    FROM (
      SELECT
        DATE_TRUNC('day', due_date) AS payment__due_date__day
        , customer_id AS customer
        , case when status = 'scheduled' then 1 else 0 end AS customer_scheduled_payments
        , case when status = 'executed' then 1 else 0 end AS customer_executed_payments
        , case when status = 'failed' then 1 else 0 end AS customer_failed_payments
        , case when status = 'cancelled' then 1 else 0 end AS customer_cancelled_payments
        , case when status = 'scheduled' then amount else 0 end AS customer_scheduled_amount
        , case when is_overdue then 1 else 0 end AS customer_overdue_payments
        , case when is_overdue then amount else 0 end AS customer_overdue_amount
        , case when status in ('executed', 'failed') then 1 else 0 end AS customer_tried_payments
      FROM customer_scheduled_payments customers_scheduled_payments_src_10000
    ) subq_2
    WHERE (
      customer = :customer_id
    ) AND (
      payment__due_date__day >= :from_date
    ) AND (
      payment__due_date__day <= :to_date
    )
    GROUP BY
      payment__due_date__day
) as figures
order by due_date
