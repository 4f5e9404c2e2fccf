{{ config(unique_key=['customer_id', 'balance_date'], liquid_clustered_by='customer_id') }}

with

versions as (

    select
        account_id,
        if(is_deleted, null, customer_id) as customer_id,
        version_number,
        account_balance,
        to_date(if(is_deleted, valid_from, coalesce(last_transaction_at, valid_from))) as balance_date
    from {{ ref('checking_accounts_history') }}

),

{% if is_incremental() %}
    changed_accounts as (

        select account_id from {{ ref('checking_accounts_history') }}
        where
            {{ newer_than_this() }}
            and is_current

    ),

    -- Also of a change in the past: it may concern whoever ever had the account.
    changed_customers as (

        select distinct versions.customer_id
        from versions
        left semi join changed_accounts on versions.account_id = changed_accounts.account_id
        where versions.customer_id is not null

    ),

    accounts as (

        select distinct versions.account_id
        from versions
        left semi join changed_customers on versions.customer_id = changed_customers.customer_id

    ),
{% endif %}
owners as (

    select
        versions.*,
        lag(versions.customer_id) over (
            partition by versions.account_id
            order by versions.version_number
        ) as customer_id_before
    from versions
    {% if is_incremental() %}
        left semi join accounts on versions.account_id = accounts.account_id
    {% endif %}

),

-- The newest version by the end of each day. Its day may be before that of an older one.
account_days as (

    select
        account_id,
        balance_date,
        max(max(struct(version_number, customer_id, account_balance))) over (
            partition by account_id
            order by balance_date
        ) as closing
    from owners
    group by account_id, balance_date

),

with_day_before as (

    select
        *,
        lag(closing) over (partition by account_id order by balance_date) as closing_before
    from account_days

),

-- What an account adds to its customer's balance on a day, and takes from whoever had it before. A day on which an
-- account came, changed or was lost is a day of the customer's, also where that adds nothing.
movements as (

    select
        with_day_before.closing.customer_id,
        with_day_before.balance_date,
        with_day_before.closing.account_balance as amount,
        false as is_day_of_customer
    from with_day_before

    union all

    select
        with_day_before.closing_before.customer_id,
        with_day_before.balance_date,
        -with_day_before.closing_before.account_balance as amount,
        false as is_day_of_customer
    from with_day_before

    union all

    select
        explode(array(customer_id, customer_id_before)) as customer_id,
        balance_date,
        0 as amount,
        true as is_day_of_customer
    from owners

),

customer_days as (

    select
        customer_id,
        balance_date,
        sum(sum(amount)) over (
            partition by customer_id
            order by balance_date
        ) as closing_balance,
        max(is_day_of_customer) as is_day_of_customer
    from movements
    where customer_id is not null
    group by customer_id, balance_date

),

final as (

    select
        customer_days.customer_id,
        customer_days.balance_date,
        cast(coalesce(customer_days.closing_balance, 0) as decimal(20, 2)) as closing_balance,
        {{ run_number() }} as _run_number,
        {{ loaded_at() }} as _loaded_at
    from customer_days
    {% if is_incremental() %}
        left semi join changed_customers on customer_days.customer_id = changed_customers.customer_id
    {% endif %}
    where customer_days.is_day_of_customer

)

select * from final
