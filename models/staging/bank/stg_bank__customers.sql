{{ config(unique_key='customer_id') }}

with

changes as (

    select * from {{ ref('base_bank__customer_changes') }}
    where
        _cdc_error is null
        {%- if is_incremental() %}
            and {{ newer_than_this() }}
        {%- endif %}

),

latest as (

    {{ latest_change_per_key('changes', key='customer_id') }}

),

final as (

    select
        -- ids
        customer_id,

        -- strings
        full_name,
        email,
        kyc_notes,

        -- booleans
        is_deleted,

        -- timestamps
        created_at,
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
