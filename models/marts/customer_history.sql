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

),

compared as (

    select
        *,
        lag(shown) over (partition by customer_id order by version_number) as shown_before
    from versions

),

-- A change of what is not shown, such as the notes, makes no row.
shown_versions as (

    select
        *,
        lead(valid_from) over (partition by customer_id order by version_number) as valid_to
    from compared
    where not shown <=> shown_before

),

-- Of the versions that one transaction made, the last.
final as (

    select
        customer_id,
        full_name,
        email,
        is_deleted,
        valid_from,
        valid_to
    from shown_versions
    where
        valid_from < valid_to
        or valid_to is null

)

select * from final
