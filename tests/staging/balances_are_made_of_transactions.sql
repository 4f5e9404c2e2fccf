-- An account's balance is its opening balance plus everything credited minus everything debited. If this returns
-- rows, a transaction was lost or counted twice on the way, and every balance in Gold is in doubt. Only an account
-- whose opening was booked as a transaction can be checked, and only when it didn't move after the last commit that
-- both tables know. A warning: what a bank books on an account is the bank's affair, and no reason to hold Gold back.
{{ config(severity='warn') }}

with

accounts as (

    select * from {{ ref('stg_bank__checking_accounts') }}

),

transactions as (

    select * from {{ ref('stg_bank__transactions') }}

),

known_until as (

    select least(
        (select max(_cdc_committed_at) from accounts),
        (select max(_cdc_committed_at) from transactions)
    ) as committed_at

),

booked as (

    select
        account_id,
        sum(if(transaction_type = 'credit', amount, -amount)) filter (where not is_deleted) as balance,
        count_if(category = 'opening' and not is_deleted) as openings,
        max(_cdc_committed_at) as committed_at
    from transactions
    group by account_id

),

final as (

    select
        accounts.account_id,
        accounts.account_balance,
        booked.balance as booked_balance
    from accounts
    inner join booked on accounts.account_id = booked.account_id
    inner join known_until
        on greatest(accounts._cdc_committed_at, booked.committed_at) <= known_until.committed_at
    where
        not accounts.is_deleted
        and booked.openings = 1
        and accounts.account_balance <> booked.balance

)

select * from final
