{%- set subjects = ['accounts', 'transactions'] -%}
{{
    config(
        unique_key='customer_id',
        liquid_clustered_by='customer_id',
        meta={'subjects': subjects, 'delete_when': 'transaction_count = 0'},
    )
}}

with

customers as (

    {{ changed_customers(subjects) }}

),

accounts as (

    select * from {{ ref('int_customer_accounts') }}

),

transactions as (

    select * from {{ ref('stg_bank__transactions') }}
    where not is_deleted

),

totals as (

    select
        customers.customer_id,
        coalesce(sum(transactions.amount) filter (where transactions.transaction_type = 'debit'), 0) as total_debits,
        coalesce(sum(transactions.amount) filter (where transactions.transaction_type = 'credit'), 0) as total_credits,
        count(transactions.transaction_id) as transaction_count
    from customers
    left join accounts on customers.customer_id = accounts.customer_id
    left join transactions on accounts.account_id = transactions.account_id
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
