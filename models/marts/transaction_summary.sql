{%- set subjects = ['accounts'] -%}
{{
    config(
        unique_key='customer_id',
        liquid_clustered_by='customer_id',
        meta={'subjects': subjects, 'delete_when': 'transaction_count = 0'},
    )
}}

with

accounts as (

    select * from {{ ref('int_customer_accounts') }}

),

account_transactions as (

    select * from {{ ref('int_account_transactions') }}

),

customers as (

    {{ changed_customers(subjects) }}
    {% if is_incremental() %}

        union distinct

        select accounts.customer_id
        from account_transactions
        inner join accounts on account_transactions.account_id = accounts.account_id
        where account_transactions.{{ newer_than_this() }}
    {% endif %}

),

totals as (

    select
        customers.customer_id,
        coalesce(sum(account_transactions.total_debits), 0) as total_debits,
        coalesce(sum(account_transactions.total_credits), 0) as total_credits,
        coalesce(sum(account_transactions.transaction_count), 0) as transaction_count
    from customers
    left join accounts on customers.customer_id = accounts.customer_id
    left join account_transactions on accounts.account_id = account_transactions.account_id
    group by customers.customer_id

),

final as (

    select
        customer_id,
        cast(total_debits + total_credits as decimal(22, 2)) as total_transactions,
        cast(round((total_debits + total_credits) / nullif(transaction_count, 0), 2) as decimal(22, 2))
            as average_transaction,
        cast(total_debits as decimal(22, 2)) as total_debits,
        cast(total_credits as decimal(22, 2)) as total_credits,
        transaction_count,
        {{ loaded_at() }} as _loaded_at
    from totals
    {% if not is_incremental() %}
        where transaction_count > 0
    {% endif %}

)

select * from final
