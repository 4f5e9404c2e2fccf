{%- set subjects = ['accounts'] -%}
{{
    config(
        unique_key='customer_id',
        liquid_clustered_by='customer_id',
        meta={'subjects': subjects, 'delete_when': 'latest_balance is null'},
    )
}}

with

customers as (

    {{ changed_customers(subjects) }}

),

accounts as (

    select * from {{ ref('int_customer_accounts') }}

),

balances as (

    select
        customers.customer_id,
        max(accounts.balance_at) as updt_ts,
        cast(sum(accounts.account_balance) as decimal(20, 2)) as latest_balance
    from customers
    left join accounts on customers.customer_id = accounts.customer_id
    group by customers.customer_id

),

final as (

    select
        customer_id,
        updt_ts,
        latest_balance,
        {{ loaded_at() }} as _loaded_at
    from balances
    {% if not is_incremental() %}
        where latest_balance is not null
    {% endif %}

)

select * from final
