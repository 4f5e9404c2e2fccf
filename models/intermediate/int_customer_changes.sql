{{ config(unique_key=['customer_id', 'subject'], liquid_clustered_by='customer_id') }}

{#- What changed since the last run; on the first, everything. -#}
{%- set is_new -%}
    {%- if is_incremental() -%} {{ newer_than_this() }} {%- else -%} true {%- endif -%}
{%- endset -%}

with

accounts as (

    select * from {{ ref('stg_bank__checking_accounts') }}

),

-- An account that goes from one customer to another changes both. Silver's state knows the new one, the change the old.
account_owners as (

    select customer_id from accounts
    where {{ is_new }}

    union all

    select
        explode(array(
            customer_id,
            try_cast(get_json_object(_cdc_before, '$.customer_id') as int)
        )) as customer_id
    from {{ ref('base_bank__checking_account_changes') }}
    where {{ is_new }}

),

transaction_accounts as (

    select account_id from {{ ref('stg_bank__transactions') }}
    where {{ is_new }}

    union all

    select try_cast(get_json_object(_cdc_before, '$.account_id') as int) as account_id
    from {{ ref('base_bank__transaction_changes') }}
    where {{ is_new }}

),

payment_accounts as (

    select account_id from {{ ref('stg_bank__scheduled_payments') }}
    where {{ is_new }}

    union all

    select try_cast(get_json_object(_cdc_before, '$.account_id') as int) as account_id
    from {{ ref('base_bank__scheduled_payment_changes') }}
    where {{ is_new }}

),

changes as (

    {%- set branches = [] %}
    {%- if may_have_news(ref('stg_bank__checking_accounts')) %}
        {%- do branches.append('accounts') %}

    select
        customer_id,
        'accounts' as subject
    from account_owners
    {%- endif %}
    {%- if may_have_news(ref('stg_bank__transactions')) %}
    {{ 'union all' if branches }}
        {%- do branches.append('transactions') %}

    select
        accounts.customer_id,
        'transactions' as subject
    from accounts
    left semi join transaction_accounts on accounts.account_id = transaction_accounts.account_id
    {%- endif %}
    {%- if may_have_news(ref('stg_bank__scheduled_payments')) %}
    {{ 'union all' if branches }}

    select
        accounts.customer_id,
        'scheduled_payments' as subject
    from accounts
    left semi join payment_accounts on accounts.account_id = payment_accounts.account_id
    {%- endif %}

),

final as (

    select distinct
        customer_id,
        subject,
        {{ loaded_at() }} as _loaded_at
    from changes
    where customer_id is not null

)

select * from final
