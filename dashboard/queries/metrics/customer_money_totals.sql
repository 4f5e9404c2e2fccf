-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries
select
    customer_money_in,
    customer_money_out,
    customer_money_moved,
    customer_transactions,
    round(customer_money_moved / nullif(customer_transactions, 0), 2) as customer_average_transaction
from (
    SELECT
      SUM(customer_money_in) AS customer_money_in
      , SUM(customer_money_out) AS customer_money_out
      , SUM(customer_money_moved) AS customer_money_moved
      , SUM(customer_transactions) AS customer_transactions
    FROM (
      SELECT
        DATE_TRUNC('day', transacted_at) AS transaction__transacted_at__day
        , customer_id AS customer
        , category AS transaction__category
        , case when transaction_type = 'credit' then amount else 0 end AS customer_money_in
        , case when transaction_type = 'debit' then amount else 0 end AS customer_money_out
        , amount AS customer_money_moved
        , 1 AS customer_transactions
      FROM customer_transactions customers_transactions_src_10000
    ) subq_2
    WHERE (
      customer = :customer_id
    ) AND (
      transaction__transacted_at__day >= :from_date
    ) AND (
      transaction__transacted_at__day <= :to_date
    ) AND (
      (:category = 'all' or transaction__category = :category)
    )
) as figures
