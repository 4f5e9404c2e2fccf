-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries
select
    due_day__due_date__day as due_date,
    scheduled_payments,
    scheduled_amount,
    overdue_payments,
    overdue_amount,
    executed_payments,
    failed_payments,
    cancelled_payments,
    round(failed_payments / nullif(tried_payments, 0), 4) as payment_failure_rate
from (
    SELECT
      due_day__due_date__day
      , SUM(scheduled_payments) AS scheduled_payments
      , SUM(scheduled_amount) AS scheduled_amount
      , SUM(overdue_payments) AS overdue_payments
      , SUM(overdue_amount) AS overdue_amount
      , SUM(executed_payments) AS executed_payments
      , SUM(failed_payments) AS failed_payments
      , SUM(cancelled_payments) AS cancelled_payments
      , SUM(tried_payments) AS tried_payments
    FROM (
      SELECT
        DATE_TRUNC('day', due_date) AS due_day__due_date__day
        , case when status = 'scheduled' then payment_count else 0 end AS scheduled_payments
        , case when status = 'executed' then payment_count else 0 end AS executed_payments
        , case when status = 'failed' then payment_count else 0 end AS failed_payments
        , case when status = 'cancelled' then payment_count else 0 end AS cancelled_payments
        , case when status = 'scheduled' then total_amount else 0 end AS scheduled_amount
        , case when is_overdue then payment_count else 0 end AS overdue_payments
        , case when is_overdue then total_amount else 0 end AS overdue_amount
        , case when status in ('executed', 'failed') then payment_count else 0 end AS tried_payments
      FROM daily_scheduled_payments due_days_src_10000
    ) subq_2
    WHERE (
      due_day__due_date__day >= :from_date
    ) AND (
      due_day__due_date__day <= :to_date
    )
    GROUP BY
      due_day__due_date__day
) as figures
order by due_date
