{{
    config(
        unique_key='product',
        liquid_clustered_by='product',
        meta={'delete_when': 'total_quantity_sold is null'},
    )
}}

with

purchases as (

    select * from {{ ref('stg_bank__purchases') }}

),

changes as (

    select * from {{ ref('base_bank__purchase_changes') }}

),

-- A purchase that is corrected to another product changes both. Silver's state knows the new one; the change, the old.
products as (

    select product from purchases
    {% if is_incremental() %}
        where {{ newer_than_this() }}

        union distinct

        select get_json_object(_cdc_before, '$.product') as product
        from changes
        where {{ newer_than_this() }}
    {% else %}
        where not is_deleted
        group by product
    {% endif %}

),

final as (

    select
        products.product,
        cast(sum(purchases.quantity) as bigint) as total_quantity_sold,
        {{ loaded_at() }} as _loaded_at
    from products
    left join purchases
        on
            products.product = purchases.product
            and not purchases.is_deleted
    where products.product is not null
    group by products.product

)

select * from final
