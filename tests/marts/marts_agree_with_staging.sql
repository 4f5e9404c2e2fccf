-- Marts compute only what changed. Computed anew from everything in Silver, each customer's and product's figures
-- must be the same, or a change was passed by, and the mart has been wrong since.

with

accounts as (

    select * from {{ ref('int_customer_accounts') }}

),

transactions as (

    select * from {{ ref('stg_bank__transactions') }}
    where not is_deleted

),

payments as (

    select * from {{ ref('stg_bank__scheduled_payments') }}
    where not is_deleted

),

purchases as (

    select * from {{ ref('stg_bank__purchases') }}
    where not is_deleted

),

staged as (

    select
        'money moved' as figure,
        cast(accounts.customer_id as string) as whose,
        sum(transactions.amount) as amount
    from accounts
    inner join transactions on accounts.account_id = transactions.account_id
    group by accounts.customer_id

    union all

    select
        'balance' as figure,
        cast(customer_id as string) as whose,
        sum(account_balance) as amount
    from accounts
    group by customer_id

    union all

    select
        'scheduled payments' as figure,
        cast(accounts.customer_id as string) as whose,
        count(*) as amount
    from accounts
    inner join payments on accounts.account_id = payments.account_id
    group by accounts.customer_id

    union all

    select
        'quantity sold' as figure,
        product as whose,
        sum(quantity) as amount
    from purchases
    group by product

),

reported as (

    select
        'money moved' as figure,
        cast(customer_id as string) as whose,
        total_transactions as amount
    from {{ ref('transaction_summary') }}

    union all

    select
        'balance' as figure,
        cast(customer_id as string) as whose,
        latest_balance as amount
    from {{ ref('customer_balance') }}

    union all

    select
        'scheduled payments' as figure,
        cast(customer_id as string) as whose,
        scheduled_count + executed_count + failed_count + cancelled_count as amount
    from {{ ref('scheduled_payments_summary') }}

    union all

    select
        'quantity sold' as figure,
        product as whose,
        total_quantity_sold as amount
    from {{ ref('popular_products') }}

),

final as (

    select
        coalesce(staged.figure, reported.figure) as figure,
        coalesce(staged.whose, reported.whose) as whose,
        staged.amount as staged_amount,
        reported.amount as reported_amount
    from staged
    full join reported
        on
            staged.figure = reported.figure
            and staged.whose = reported.whose
    where not staged.amount <=> reported.amount

)

select * from final
