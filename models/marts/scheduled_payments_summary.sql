{%- set subjects = ['accounts', 'scheduled_payments'] -%}
{{
    config(
        unique_key='customer_id',
        liquid_clustered_by='customer_id',
        meta={
            'subjects': subjects,
            'delete_when': 'scheduled_count + executed_count + failed_count + cancelled_count = 0',
            'changes_daily': true,
        },
    )
}}

with

accounts as (

    select * from {{ ref('int_customer_accounts') }}

),

payments as (

    select
        *,
        status = 'scheduled' as is_scheduled,
        {{ is_overdue() }} as is_overdue
    from {{ ref('stg_bank__scheduled_payments') }}
    where not is_deleted

),

customers as (

    {{ changed_customers(subjects) }}
    {% if is_incremental() %}

        union distinct

        -- A payment becomes overdue without a change in the bank, when the day turns.
        select accounts.customer_id
        from payments
        inner join accounts on payments.account_id = accounts.account_id
        where {{ became_overdue('payments.') }}
    {% endif %}

),

totals as (

    select
        customers.customer_id,
        count_if(payments.is_scheduled) as scheduled_count,
        coalesce(sum(payments.amount) filter (where payments.is_scheduled), 0) as scheduled_amount,
        min(payments.due_date) filter (where payments.is_scheduled and not payments.is_overdue) as next_due_date,
        count_if(payments.is_overdue) as overdue_count,
        coalesce(sum(payments.amount) filter (where payments.is_overdue), 0) as overdue_amount,
        count_if(payments.status = 'executed') as executed_count,
        count_if(payments.status = 'failed') as failed_count,
        count_if(payments.status = 'cancelled') as cancelled_count
    from customers
    left join accounts on customers.customer_id = accounts.customer_id
    left join payments on accounts.account_id = payments.account_id
    group by customers.customer_id

),

final as (

    select
        customer_id,
        scheduled_count,
        cast(scheduled_amount as decimal(22, 2)) as scheduled_amount,
        next_due_date,
        overdue_count,
        cast(overdue_amount as decimal(22, 2)) as overdue_amount,
        executed_count,
        failed_count,
        cancelled_count,
        {{ loaded_at() }} as _loaded_at
    from totals
    {% if not is_incremental() %}
        where scheduled_count + executed_count + failed_count + cancelled_count > 0
    {% endif %}

)

select * from final
