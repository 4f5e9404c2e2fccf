{%- set subjects, entity = ['account_owners'], 'stg_bank__scheduled_payments' -%}
{{
    config(
        unique_key='payment_id',
        liquid_clustered_by='customer_id',
        meta={'subjects': subjects, 'rows_of': entity, 'delete_when': 'customer_id is null', 'changes_daily': true},
    )
}}

-- depends_on: {{ ref('int_customer_changes') }}, {{ ref('int_customer_accounts') }}
with

payments as (

    {{ rows_of_customers(ref(entity), subjects, also=became_overdue()) }}

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
        {{ is_overdue() }} as is_overdue,
        due_date,
        {{ loaded_at() }} as _loaded_at
    from payments

)

select * from final
