{{ config(unique_key='account_id') }}

with

changes as (

    select * from {{ ref('base_bank__checking_account_changes') }}
    where
        _cdc_error is null
        {%- if is_incremental() %}
            and {{ newer_than_this() }}
        {%- endif %}

),

latest as (

    {{ latest_change_per_key('changes', key='account_id') }}

),

final as (

    select
        -- ids
        account_id,
        customer_id,

        -- strings
        account_holder_name,

        -- numbers
        account_balance,

        -- booleans
        is_deleted,

        -- timestamps
        last_transaction_at,

        -- metadata
        _cdc_op,
        _cdc_lsn,
        _cdc_committed_at,
        _cdc_offset,
        _ingested_at,
        {{ loaded_at() }} as _loaded_at
    from latest

)

select * from final
