-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries
select
    customers
from (
    SELECT
      SUM(customers) AS customers
    FROM (
      SELECT
        DATE_TRUNC('day', updt_ts) AS customer__updt_ts__day
        , 1 AS customers
      FROM customer_balance customers_balances_src_10000
    ) subq_2
    WHERE customer__updt_ts__day >= :from_date
) as figures
