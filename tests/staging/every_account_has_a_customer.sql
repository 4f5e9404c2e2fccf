-- An account that belongs to no customer is in no mart, as there is no customer to show it with. Its money is missing
-- from every figure of Gold, which the bank should know, and may want to put right at the source.
{{ config(severity='warn') }}

with

final as (

    select
        account_id,
        account_holder_name,
        account_balance
    from {{ ref('stg_bank__checking_accounts') }}
    where
        not is_deleted
        and customer_id is null

)

select * from final
