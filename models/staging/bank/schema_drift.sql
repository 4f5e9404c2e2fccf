{{ config(materialized='view') }}

-- All base models are asked, also one that was added. These are named so that they come first, and for the lineage.
-- depends_on: {{ ref('base_bank__customer_changes') }}, {{ ref('base_bank__checking_account_changes') }}
-- depends_on: {{ ref('base_bank__transaction_changes') }}, {{ ref('base_bank__scheduled_payment_changes') }}
-- depends_on: {{ ref('base_bank__purchase_changes') }}
with

rows_seen as (

    {%- for base in base_models() %}

        select
            '{{ base.bronze_table }}' as bronze_table,
            _cdc_unknown_fields,
            _cdc_missing_fields,
            _cdc_partition,
            _cdc_offset,
            _ingested_at
        from {{ base.relation }}
        where
            _cdc_op in ('c', 'u', 'r')
            and _cdc_error is null
        {{ 'union all' if not loop.last }}
    {%- endfor %}

),

fields as (

    select
        bronze_table,
        explode(_cdc_unknown_fields) as field_name,
        'unknown' as kind,
        _cdc_partition,
        _cdc_offset,
        _ingested_at
    from rows_seen
    where _cdc_unknown_fields is not null

    union all

    select
        bronze_table,
        explode(_cdc_missing_fields) as field_name,
        'missing' as kind,
        _cdc_partition,
        _cdc_offset,
        _ingested_at
    from rows_seen
    where _cdc_missing_fields is not null

),

-- What only older rows have or lack was added to the table or taken from it, and is no drift any more.
newest_rows as (

    select
        bronze_table,
        max(_ingested_at) as _ingested_at
    from rows_seen
    group by bronze_table

),

final as (

    select
        fields.bronze_table,
        fields.field_name,
        fields.kind,
        count(*) as message_count,
        min_by(fields._cdc_partition, struct(fields._ingested_at, fields._cdc_offset)) as _cdc_partition,
        min_by(fields._cdc_offset, struct(fields._ingested_at, fields._cdc_offset)) as _cdc_offset,
        min(fields._ingested_at) as _ingested_at
    from fields
    inner join newest_rows on fields.bronze_table = newest_rows.bronze_table
    group by fields.bronze_table, fields.field_name, fields.kind
    having max(fields._ingested_at) = max(newest_rows._ingested_at)

)

select * from final
