{%- set subjects, entity = ['account_owners'], 'stg_bank__transactions' -%}
{{
    config(
        unique_key='transaction_id',
        liquid_clustered_by='customer_id',
        meta={'subjects': subjects, 'rows_of': entity, 'delete_when': 'customer_id is null'},
    )
}}

-- depends_on: {{ ref('int_customer_changes') }}, {{ ref('int_customer_accounts') }}
with

transactions as (

    {{ rows_of_customers(ref(entity), subjects) }}

),

final as (

    select
        customer_id,
        account_id,
        transaction_id,
        transaction_type,
        coalesce(category, 'uncategorised') as category,
        amount,
        transacted_at,
        {{ loaded_at() }} as _loaded_at
    from transactions

)

select * from final
