-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries
select
    customer,
    lifetime_money_in,
    lifetime_money_out,
    lifetime_money_moved,
    lifetime_transactions,
    round(lifetime_money_moved / nullif(lifetime_transactions, 0), 2) as lifetime_average_transaction
from (
    SELECT
      customer_id AS customer
      , SUM(total_credits) AS lifetime_money_in
      , SUM(total_debits) AS lifetime_money_out
      , SUM(total_transactions) AS lifetime_money_moved
      , SUM(transaction_count) AS lifetime_transactions
    FROM transaction_summary customers_totals_src_10000
    GROUP BY
      customer_id
) as figures
order by lifetime_money_moved desc, customer
limit 50
