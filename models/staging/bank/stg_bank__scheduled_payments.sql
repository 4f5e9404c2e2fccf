{{ config(unique_key='payment_id') }}

with

changes as (

    select * from {{ ref('base_bank__scheduled_payment_changes') }}
    where
        _cdc_error is null
        {%- if is_incremental() %}
            and {{ newer_than_this() }}
        {%- endif %}

),

latest as (

    {{ latest_change_per_key('changes', key='payment_id') }}

),

final as (

    select
        -- ids
        payment_id,
        account_id,
        transaction_id,

        -- strings
        payee,
        frequency,
        status,

        -- numbers
        amount,

        -- booleans
        is_deleted,

        -- dates
        due_date,

        -- timestamps
        updated_at,

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
