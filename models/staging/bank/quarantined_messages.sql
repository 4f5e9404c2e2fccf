{{ config(materialized='view', meta={'lists_bases': true}) }}

-- All base models are asked, also one that was added. These are named so that they come first, and for the lineage.
-- depends_on: {{ ref('base_bank__customer_changes') }}, {{ ref('base_bank__checking_account_changes') }}
-- depends_on: {{ ref('base_bank__transaction_changes') }}, {{ ref('base_bank__scheduled_payment_changes') }}
-- depends_on: {{ ref('base_bank__purchase_changes') }}
with

quarantined as (

    {%- for base in base_models() %}

        select
            '{{ base.bronze_table }}' as bronze_table,
            _cdc_message['topic'] as topic,
            _cdc_error as reason,
            -- As text to be read; bytes that are no text show as a replacement character. Bronze has the bytes.
            make_valid_utf8(cast(_cdc_message['key'] as string)) as message_key,
            make_valid_utf8(cast(_cdc_message['value'] as string)) as message_value,
            _cdc_partition,
            _cdc_offset,
            _ingested_at,
            _loaded_at
        from {{ base.relation }}
        where _cdc_error is not null
        {{ 'union all' if not loop.last }}
    {%- endfor %}

),

final as (

    select * from quarantined

)

select * from final
