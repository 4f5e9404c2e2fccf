-- Each message that ingestion landed is either a change of the bank's data, in quarantine, a tombstone, a heartbeat or
-- transaction marker, or a change that was sent before. If this returns rows, a message was lost between Bronze and
-- Silver, and with it something that happened in the bank.

-- All base models are asked, also one that was added. These are named so that they come first.
-- depends_on: {{ ref('base_bank__customer_changes') }}, {{ ref('base_bank__checking_account_changes') }}
-- depends_on: {{ ref('base_bank__transaction_changes') }}, {{ ref('base_bank__scheduled_payment_changes') }}
-- depends_on: {{ ref('base_bank__purchase_changes') }}
with

changes as (

    {%- for base in base_models() %}

        select
            '{{ base.bronze_table }}' as bronze_table,
            _cdc_change_id,
            _cdc_topic_life,
            _cdc_partition,
            _cdc_offset
        from {{ base.relation }}
        {{ 'union all' if not loop.last }}
    {%- endfor %}

),

-- What landed after the last run is still to come.
known_until as (

    select
        bronze_table,
        _cdc_topic_life,
        _cdc_partition,
        max(_cdc_offset) as _cdc_offset
    from changes
    group by bronze_table, _cdc_topic_life, _cdc_partition

),

messages as (

    -- Nothing may have landed yet, and then there is no Bronze table.
    select
        cast(null as string) as bronze_table,
        cast(null as int) as _cdc_topic_life,
        cast(null as int) as _cdc_partition,
        cast(null as bigint) as _cdc_offset,
        cast(null as string) as topic,
        cast(null as timestamp) as _ingested_at,
        cast(null as binary) as message_key,
        cast(null as binary) as message_value,
        cast(null as array<struct<key: string, value: binary>>) as headers
    where false
    {%- for base in base_models() if bronze_exists(base.bronze) %}

        union all

        select
            '{{ base.bronze_table }}' as bronze_table,
            coalesce(topic_life, 1) as _cdc_topic_life,
            partition as _cdc_partition,
            offset as _cdc_offset,
            topic,
            ingested_at as _ingested_at,
            key as message_key,
            value as message_value,
            headers
        from {{ base.bronze }}
        where value is not null
    {%- endfor %}

),

not_in_silver as (

    select
        messages.bronze_table,
        messages.topic,
        messages._cdc_topic_life as topic_life,
        messages._cdc_partition as partition,  -- noqa: RF04
        messages._cdc_offset as offset,  -- noqa: RF04
        messages._ingested_at as ingested_at,
        messages.message_key as key,  -- noqa: RF04
        messages.message_value as value,  -- noqa: RF04
        messages.headers
    from messages
    inner join known_until
        on
            messages.bronze_table = known_until.bronze_table
            and messages._cdc_topic_life = known_until._cdc_topic_life
            and messages._cdc_partition = known_until._cdc_partition
            and messages._cdc_offset <= known_until._cdc_offset
    left anti join changes
        on
            messages.bronze_table = changes.bronze_table
            -- An offset names a message within one life of the topic.
            and messages._cdc_topic_life = changes._cdc_topic_life
            and messages._cdc_partition = changes._cdc_partition
            and messages._cdc_offset = changes._cdc_offset

),

parsed as (

    {{ parsed_messages('not_in_silver') }}

),

final as (

    select
        parsed._record.topic,
        parsed._partition,
        parsed._offset
    from parsed
    left anti join changes as decoded on {{ change_id() }} = decoded._cdc_change_id
    left anti join changes as undecodable on {{ error_id() }} = undecodable._cdc_change_id
    where not ({{ is_marker() }})

)

select * from final
