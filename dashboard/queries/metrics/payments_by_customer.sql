-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries
select
    customer,
    round(lifetime_failed_payments / nullif(lifetime_tried_payments, 0), 4) as lifetime_payment_failure_rate,
    lifetime_failed_payments,
    lifetime_executed_payments,
    lifetime_overdue_payments,
    lifetime_overdue_amount
from (
    SELECT
      customer
      , SUM(__lifetime_failed_payments) AS lifetime_failed_payments
      , SUM(__lifetime_tried_payments) AS lifetime_tried_payments
      , SUM(__lifetime_executed_payments) AS lifetime_executed_payments
      , SUM(__lifetime_overdue_payments) AS lifetime_overdue_payments
      , SUM(__lifetime_overdue_amount) AS lifetime_overdue_amount
    FROM (
      SELECT
        customer_id AS customer
        , failed_count AS __lifetime_failed_payments
        , executed_count AS __lifetime_executed_payments
        , executed_count + failed_count AS __lifetime_tried_payments
        , overdue_count AS __lifetime_overdue_payments
        , overdue_amount AS __lifetime_overdue_amount
      FROM scheduled_payments_summary customers_payments_src_10000
    ) subq_3
    GROUP BY
      customer
) as figures
order by lifetime_failed_payments desc, customer
limit 20
