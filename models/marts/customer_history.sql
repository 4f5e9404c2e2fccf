{{ config(materialized='view') }}

with

versions as (

    select * from {{ ref('customers_snapshot') }}

),

final as (

    select
        customer_id,
        full_name,
        email,
        is_deleted,
        dbt_valid_from as valid_from,
        dbt_valid_to as valid_to
    from versions

)

select * from final
