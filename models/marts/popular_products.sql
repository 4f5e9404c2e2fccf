{{ config(materialized='view') }}

with

purchases as (

    select * from {{ ref('stg_bank__purchases') }}
    where not is_deleted

),

final as (

    select
        product,
        sum(quantity) as total_quantity_sold
    from purchases
    group by product

)

select * from final
