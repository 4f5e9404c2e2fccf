{%- set subjects = ['account_owners'] -%}
{{
    config(
        unique_key='payment_id',
        liquid_clustered_by='customer_id',
        meta={'subjects': subjects, 'delete_when': 'customer_id is null'},
    )
}}

-- depends_on: {{ ref('int_customer_changes') }}, {{ ref('int_customer_accounts') }}
with

payments as (

    {{ rows_of_customers(ref('stg_bank__scheduled_payments'), subjects) }}

),

final as (

    select
        customer_id,
        account_id,
        payment_id,
        transaction_id,
        payee,
        frequency,
        status,
        amount,
        due_date,
        {{ loaded_at() }} as _loaded_at
    from payments

)

select * from final
