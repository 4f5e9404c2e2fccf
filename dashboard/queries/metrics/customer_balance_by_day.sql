-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries
select
    customer_day__balance_date__day as balance_date,
    closing_balance
from (
    SELECT
      subq_3.customer_day__balance_date__day AS customer_day__balance_date__day
      , SUM(subq_3.__closing_balance) AS closing_balance
    FROM (
      SELECT
        closing_balance AS __closing_balance
        , balance_date__day
        , customer_day__balance_date__day
        , customer
      FROM (
        SELECT
          DATE_TRUNC('day', balance_date) AS balance_date__day
          , DATE_TRUNC('day', balance_date) AS customer_day__balance_date__day
          , customer_id AS customer
          , closing_balance
        FROM customer_balance_history customers_closing_balances_src_10000
      ) subq_2
      WHERE (
        customer = :customer_id
      ) AND (
        customer_day__balance_date__day >= :from_date
      ) AND (
        customer_day__balance_date__day <= :to_date
      )
    ) subq_3
    INNER JOIN (
      SELECT
        customer
        , customer_day__balance_date__day
        , MAX(balance_date__day) AS balance_date__day__complete
      FROM (
        SELECT
          DATE_TRUNC('day', balance_date) AS balance_date__day
          , DATE_TRUNC('day', balance_date) AS customer_day__balance_date__day
          , customer_id AS customer
        FROM customer_balance_history customers_closing_balances_src_10000
      ) subq_2
      WHERE (
        customer = :customer_id
      ) AND (
        customer_day__balance_date__day >= :from_date
      ) AND (
        customer_day__balance_date__day <= :to_date
      )
      GROUP BY
        customer
        , customer_day__balance_date__day
    ) subq_5
    ON
      (
        subq_3.balance_date__day = subq_5.balance_date__day__complete
      ) AND (
        subq_3.customer = subq_5.customer
      )
    GROUP BY
      subq_3.customer_day__balance_date__day
) as figures
order by balance_date
