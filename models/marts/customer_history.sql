{{ config(materialized='view') }}

with

versions as (

    select
        customer_id,
        version_number,
        full_name,
        email,
        is_deleted,
        valid_from,
        struct(full_name, email, is_deleted) as shown
    from {{ ref('customers_history') }}
    -- Of versions that begin at the same time, the last.
    where
        valid_from < valid_to
        or is_current

),

compared as (

    select
        *,
        lag(shown) over (partition by customer_id order by version_number) as shown_before
    from versions

),

-- A change of what is not shown, such as the notes, makes no row.
final as (

    select
        customer_id,
        full_name,
        email,
        is_deleted,
        valid_from,
        lead(valid_from) over (partition by customer_id order by version_number) as valid_to
    from compared
    where not shown <=> shown_before

)

select * from final
