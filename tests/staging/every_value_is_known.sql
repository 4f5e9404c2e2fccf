-- A large value that an update leaves as it was is carried on from the change that told it. If none did, because
-- capture began without a snapshot, Silver has nothing to show where the bank has something. An incremental snapshot of
-- the table tells it (docs/runbook.md).
{{ config(severity='warn') }}

{%- set entities = ['customers', 'checking_accounts', 'transactions', 'scheduled_payments', 'purchases'] %}

with

final as (

    {%- for entity in entities %}

        select
            'stg_bank__{{ entity }}' as model_name,
            explode(_cdc_unavailable) as unknown_column,
            _cdc_offset
        from {{ ref('stg_bank__' ~ entity) }}
        where not is_deleted
        {{ 'union all' if not loop.last }}
    {%- endfor %}

)

select * from final
