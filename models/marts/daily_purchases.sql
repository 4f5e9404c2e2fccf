{{ config(materialized='view') }}

with

blocks as (

    select * from {{ ref('int_daily_purchases') }}
    where is_dated

),

final as (

    select
        product,
        sum(quantity_sold) as quantity_sold,
        sum(purchase_count) as purchase_count,
        purchase_date
    from blocks
    group by product, purchase_date
    having sum(purchase_count) > 0

)

select * from final
