-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries
select
    total_balance,
    customers
from (
    SELECT
      SUM(latest_balance) AS total_balance
      , SUM(1) AS customers
    FROM customer_balance customers_balances_src_10000
) as figures
