{{ config(unique_key=['account_id', 'first_transaction_id'], liquid_clustered_by='first_transaction_id') }}

{#- Tens of times as many as there are accounts, or a block has about as many rows as transactions. Another size needs a
    full refresh of this model. -#}
{%- set block_size = 1000000 %}
{%- set blocks = changed_blocks(ref('stg_bank__transactions'), 'transaction_id', block_size) %}

with

transactions as (

    select * from {{ ref('stg_bank__transactions') }}

),

in_changed_blocks as (

    select
        *,
        {{ first_of_block('transaction_id', block_size) }} as first_transaction_id
    from transactions
    where
        account_id is not null
        and {{ key_in_ranges('transactions', 'transaction_id', blocks) }}

),

totals as (

    select
        account_id,
        first_transaction_id,
        sum(amount) filter (where not is_deleted and transaction_type = 'debit') as total_debits,
        sum(amount) filter (where not is_deleted and transaction_type = 'credit') as total_credits,
        count_if(not is_deleted) as transaction_count,
        {{ 'max(_loaded_at) > ' ~ newest('_loaded_at') if is_incremental() else 'true' }} as has_changed
    from in_changed_blocks
    group by account_id, first_transaction_id

),

{% if is_incremental() %}
    existing as (

        select * from {{ this }}
        where {{ key_in_ranges(this.identifier, 'first_transaction_id', blocks) }}

    ),

    -- An account that a transaction was moved away from has no change of its own, but fewer transactions.
    compared as (

        select
            coalesce(totals.account_id, existing.account_id) as account_id,
            coalesce(totals.first_transaction_id, existing.first_transaction_id) as first_transaction_id,
            totals.total_debits,
            totals.total_credits,
            totals.transaction_count,
            coalesce(totals.has_changed, false)
            or coalesce(totals.transaction_count, 0) <> existing.transaction_count as has_changed
        from totals
        full join existing
            on
                totals.account_id = existing.account_id
                and totals.first_transaction_id = existing.first_transaction_id

    ),
{% endif %}

final as (

    select
        account_id,
        first_transaction_id,
        cast(coalesce(total_debits, 0) as decimal(20, 2)) as total_debits,
        cast(coalesce(total_credits, 0) as decimal(20, 2)) as total_credits,
        coalesce(transaction_count, 0) as transaction_count,
        {{ loaded_at() }} as _loaded_at
    from {{ 'compared' if is_incremental() else 'totals' }}
    where has_changed

)

select * from final
