-- Each message that ingestion landed is either a change of the bank's data, in quarantine, a tombstone, or a change that was sent
-- before. If this returns rows, a message was lost between Bronze and Silver, and with it something that happened in the bank.
{%- set bases = {
    'customers': [source('bronze', 'customers'), ref('base_bank__customer_changes')],
    'checking_account': [source('bronze', 'checking_account'), ref('base_bank__checking_account_changes')],
    'transactions': [source('bronze', 'transactions'), ref('base_bank__transaction_changes')],
    'scheduled_payments': [source('bronze', 'scheduled_payments'), ref('base_bank__scheduled_payment_changes')],
    'purchase_trends': [source('bronze', 'purchase_trends'), ref('base_bank__purchase_changes')],
} %}
{%- set topics = [] %}
{%- for name, relations in bases.items() if bronze_exists(relations[0]) %}
    {%- do topics.append({'name': name, 'bronze': relations[0], 'changes': relations[1]}) %}
{%- endfor %}

{% if not topics %}
select 'nothing landed yet' as bronze_table
where false
{% else %}
with

messages as (

    {%- for topic in topics %}

    select
        '{{ topic.name }}' as bronze_table,
        partition,
        offset,
        ingested_at,
        key,
        value
    from {{ topic.bronze }}
    where value is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

changes as (

    {%- for topic in topics %}

    select
        '{{ topic.name }}' as bronze_table,
        _cdc_partition as partition,
        _cdc_offset as offset,
        _cdc_change_id,
        _ingested_at
    from {{ topic.changes }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

-- What landed after the last run is still to come.
known_until as (

    select
        bronze_table,
        max(_ingested_at) as ingested_at
    from changes
    group by bronze_table

),

not_in_silver as (

    select
        messages.bronze_table,
        messages.partition,
        messages.offset
    from messages
    inner join known_until
        on
            messages.bronze_table = known_until.bronze_table
            and messages.ingested_at <= known_until.ingested_at
    left anti join changes
        on
            messages.bronze_table = changes.bronze_table
            and messages.partition = changes.partition
            and messages.offset = changes.offset

),

identified as (

    select
        messages.bronze_table,
        messages.partition,
        messages.offset,
        cast(messages.key as string) as key_json,
        from_json(cast(messages.value as string), 'op string, source struct<lsn: bigint, txId: bigint>') as message
    from messages
    left semi join not_in_silver
        on
            messages.bronze_table = not_in_silver.bronze_table
            and messages.partition = not_in_silver.partition
            and messages.offset = not_in_silver.offset

),

final as (

    select identified.*
    from identified
    left anti join changes
        on
            identified.bronze_table = changes.bronze_table
            and md5(concat_ws('|', key_json, message.op, message.source.lsn, message.source.txid)) = changes._cdc_change_id

)

select * from final
{% endif %}
