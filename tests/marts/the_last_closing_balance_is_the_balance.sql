-- History is made of every change, the balance of the latest state of each account: two ways to the same money. If
-- they part, a change was lost on one of them. A customer who lost an account is left out: that day has no row in the
-- history unless another account moved.

with

accounts as (

    select * from {{ ref('int_customer_accounts') }}

),

balances as (

    select * from {{ ref('customer_balance') }}

),

ever_owned as (

    select distinct
        customer_id,
        account_id
    from {{ ref('base_bank__checking_account_changes') }}
    where customer_id is not null

),

lost_accounts as (

    select ever_owned.customer_id
    from ever_owned
    left anti join accounts
        on
            ever_owned.customer_id = accounts.customer_id
            and ever_owned.account_id = accounts.account_id

),

last_closings as (

    select
        customer_id,
        max_by(closing_balance, balance_date) as closing_balance
    from {{ ref('customer_balance_history') }}
    group by customer_id

),

final as (

    select
        balances.customer_id,
        balances.latest_balance,
        last_closings.closing_balance
    from balances
    left anti join lost_accounts on balances.customer_id = lost_accounts.customer_id
    left join last_closings on balances.customer_id = last_closings.customer_id
    where not balances.latest_balance <=> last_closings.closing_balance

)

select * from final
