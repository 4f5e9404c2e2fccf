-- Each message that ingestion landed is either a change of the bank's data, in quarantine, a tombstone, or a change
-- that was sent before. If this returns rows, a message was lost between Bronze and Silver, and with it something
-- that happened in the bank.

{%- set tables = {
    'customers': [source('bronze', 'customers'), ref('base_bank__customer_changes')],
    'checking_account': [source('bronze', 'checking_account'), ref('base_bank__checking_account_changes')],
    'transactions': [source('bronze', 'transactions'), ref('base_bank__transaction_changes')],
    'scheduled_payments': [source('bronze', 'scheduled_payments'), ref('base_bank__scheduled_payment_changes')],
    'purchase_trends': [source('bronze', 'purchase_trends'), ref('base_bank__purchase_changes')],
} %}

with

messages as (

    -- Nothing may have landed yet, and then there is no Bronze table.
    select
        cast(null as string) as bronze_table,
        cast(null as int) as _cdc_partition,
        cast(null as bigint) as _cdc_offset,
        cast(null as timestamp) as _ingested_at,
        cast(null as binary) as message_key,
        cast(null as binary) as message_value
    where false
    {%- for name, relations in tables.items() if bronze_exists(relations[0]) %}

        union all

        select
            '{{ name }}' as bronze_table,
            partition as _cdc_partition,
            offset as _cdc_offset,
            ingested_at as _ingested_at,
            key as message_key,
            value as message_value
        from {{ relations[0] }}
        where value is not null
    {%- endfor %}

),

changes as (

    {%- for name, relations in tables.items() %}

        select
            '{{ name }}' as bronze_table,
            _cdc_change_id,
            _cdc_partition,
            _cdc_offset,
            _ingested_at
        from {{ relations[1] }}
        {{ 'union all' if not loop.last }}
    {%- endfor %}

),

-- What landed after the last run is still to come.
known_until as (

    select
        bronze_table,
        max(_ingested_at) as _ingested_at
    from changes
    group by bronze_table

),

not_in_silver as (

    select
        messages.bronze_table,
        messages._cdc_partition,
        messages._cdc_offset
    from messages
    inner join known_until
        on
            messages.bronze_table = known_until.bronze_table
            and messages._ingested_at <= known_until._ingested_at
    left anti join changes
        on
            messages.bronze_table = changes.bronze_table
            and messages._cdc_partition = changes._cdc_partition
            and messages._cdc_offset = changes._cdc_offset

),

parsed as (

    select
        messages.bronze_table,
        messages._cdc_partition,
        messages._cdc_offset,
        cast(messages.message_key as string) as key_json,
        from_json(
            cast(messages.message_value as string), 'op string, source struct<lsn: bigint, txId: bigint>'
        ) as message
    from messages
    left semi join not_in_silver
        on
            messages.bronze_table = not_in_silver.bronze_table
            and messages._cdc_partition = not_in_silver._cdc_partition
            and messages._cdc_offset = not_in_silver._cdc_offset

),

identified as (

    select
        parsed.*,
        md5(concat_ws(
            '|', parsed.key_json, parsed.message.op, parsed.message.source.lsn, parsed.message.source.txid
        )) as _cdc_change_id
    from parsed

),

final as (

    select identified.*
    from identified
    left anti join changes
        on
            identified.bronze_table = changes.bronze_table
            and identified._cdc_change_id = changes._cdc_change_id

)

select * from final
