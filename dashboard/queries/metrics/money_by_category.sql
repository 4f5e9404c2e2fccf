-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries
select
    bank_day__category as category,
    money_in,
    money_out,
    money_moved,
    transactions,
    round(money_moved / nullif(transactions, 0), 2) as average_transaction
from (
    SELECT
      bank_day__category
      , SUM(money_in) AS money_in
      , SUM(money_out) AS money_out
      , SUM(money_moved) AS money_moved
      , SUM(transactions) AS transactions
    FROM (
      SELECT
        DATE_TRUNC('day', transaction_date) AS bank_day__transaction_date__day
        , category AS bank_day__category
        , total_credits AS money_in
        , total_debits AS money_out
        , total_transactions AS money_moved
        , transaction_count AS transactions
      FROM daily_transactions bank_days_src_10000
    ) subq_2
    WHERE (
      bank_day__transaction_date__day >= :from_date
    ) AND (
      bank_day__transaction_date__day <= :to_date
    ) AND (
      (:category = 'all' or bank_day__category = :category)
    )
    GROUP BY
      bank_day__category
) as figures
order by category
