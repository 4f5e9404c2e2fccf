-- History is made of every change, the balance of the latest state of each account: two ways to the same money. If
-- they part, a change was lost on one of them.

with

balances as (

    select * from {{ ref('customer_balance') }}

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
    left join last_closings on balances.customer_id = last_closings.customer_id
    where not balances.latest_balance <=> last_closings.closing_balance

)

select * from final
