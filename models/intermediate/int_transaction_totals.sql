{{ config(unique_key='total_id', liquid_clustered_by='first_transaction_id') }}

{%- set changed_blocks = changed_key_blocks(ref('stg_bank__transactions'), 'transaction_id', size=1000000) %}

with

transactions as (

    select
        account_id,
        {{ key_block('transaction_id', size=1000000) }} as first_transaction_id,
        coalesce(category, 'uncategorised') as category,
        if(transaction_type = 'debit', amount, 0) as debit,
        if(transaction_type = 'credit', amount, 0) as credit,
        is_deleted,
        to_date(transacted_at) as transaction_date,
        _run_number
    from {{ ref('stg_bank__transactions') }}
    where {{ in_ranges('transaction_id', changed_blocks) }}

),

-- One scan for both: what a block comes to by account, and by day and category.
totals as (

    select
        account_id,
        first_transaction_id,
        category,
        sum(debit) filter (where not is_deleted) as total_debits,
        sum(credit) filter (where not is_deleted) as total_credits,
        count_if(not is_deleted) as transaction_count,
        grouping(account_id) = 0 as is_of_account,
        transaction_date,
        max(_run_number) > {{ read_up_to() if is_incremental() else 0 }} as has_changed
    from transactions
    group by grouping sets (
        (first_transaction_id, account_id),
        (first_transaction_id, transaction_date, category)
    )

),

named as (

    select
        if(
            is_of_account,
            concat_ws('|', 'account', account_id, first_transaction_id),
            concat_ws('|', 'day', transaction_date, category, first_transaction_id)
        ) as total_id,
        *
    from totals
    -- A transaction on no account is nobody's, and one without a time is on no day.
    where
        account_id is not null
        or transaction_date is not null

),

existing as (

    {% if is_incremental() %}
        select * from {{ this }}
        where {{ in_ranges('first_transaction_id', changed_blocks) }}
    {% else %}
        select * from named
        where false
    {% endif %}

),

-- What a transaction was moved away from has no change of its own, but fewer transactions.
compared as (

    select
        coalesce(named.total_id, existing.total_id) as total_id,
        coalesce(named.account_id, existing.account_id) as account_id,
        coalesce(named.first_transaction_id, existing.first_transaction_id) as first_transaction_id,
        coalesce(named.category, existing.category) as category,
        coalesce(named.total_debits, 0) as total_debits,
        coalesce(named.total_credits, 0) as total_credits,
        coalesce(named.transaction_count, 0) as transaction_count,
        coalesce(named.transaction_date, existing.transaction_date) as transaction_date,
        coalesce(named.has_changed, false)
        or coalesce(named.transaction_count, 0) <> existing.transaction_count as has_changed
    from named
    full join existing on named.total_id = existing.total_id

),

final as (

    select
        -- ids
        total_id,
        account_id,
        first_transaction_id,

        -- strings
        category,

        -- numbers
        cast(total_debits as decimal(22, 2)) as total_debits,
        cast(total_credits as decimal(22, 2)) as total_credits,
        transaction_count,

        -- dates
        transaction_date,

        -- metadata
        {{ run_number() }} as _run_number,
        {{ loaded_at() }} as _loaded_at
    from compared
    where has_changed

)

select * from final
