{{ config(unique_key='transaction_id') }}

with

changes as (

    select * from {{ ref('base_bank__transaction_changes') }}
    where
        _cdc_error is null
        {%- if is_incremental() %}
            and {{ newer_than_this() }}
        {%- endif %}

),

latest as (

    {{ latest_change_per_key('changes', key='transaction_id') }}

),

final as (

    select
        -- ids
        transaction_id,
        account_id,

        -- strings
        transaction_type,
        category,

        -- numbers
        amount,

        -- booleans
        is_deleted,

        -- timestamps
        transacted_at,

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
