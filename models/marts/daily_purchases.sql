{{ config(materialized='view') }}

with

purchases as (

    select * from {{ ref('stg_bank__purchases') }}
    where
        not is_deleted
        and purchased_at is not null

),

final as (

    select
        product,
        sum(quantity) as quantity_sold,
        count(*) as purchase_count,
        {{ utc_date('purchased_at') }} as purchase_date
    from purchases
    group by product, {{ utc_date('purchased_at') }}

)

select * from final
