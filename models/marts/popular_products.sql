{{ config(materialized='view') }}

with

blocks as (

    select * from {{ ref('int_daily_purchases') }}

),

final as (

    select
        product,
        cast(sum(quantity_sold) as bigint) as total_quantity_sold
    from blocks
    group by product
    having sum(purchase_count) > 0

)

select * from final
