{{ config(materialized='view') }}

with

accounts as (

    select * from {{ ref('stg_bank__checking_accounts') }}

),

final as (

    select
        customer_id,
        account_id,
        account_balance,
        -- A balance holds as of the account's last transaction; the commit time stands in where the bank never said.
        coalesce(last_transaction_at, _cdc_committed_at) as balance_at
    from accounts
    where
        not is_deleted
        and customer_id is not null

)

select * from final
