-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries
select
    product_day__product as product,
    quantity_sold,
    purchases
from (
    SELECT
      product_day__product
      , SUM(quantity_sold) AS quantity_sold
      , SUM(purchases) AS purchases
    FROM (
      SELECT
        DATE_TRUNC('day', purchase_date) AS product_day__purchase_date__day
        , product AS product_day__product
        , quantity_sold
        , purchase_count AS purchases
      FROM daily_purchases product_days_src_10000
    ) subq_2
    WHERE (
      product_day__purchase_date__day >= :from_date
    ) AND (
      product_day__purchase_date__day <= :to_date
    ) AND (
      (:product = 'all' or product_day__product = :product)
    )
    GROUP BY
      product_day__product
) as figures
order by product
