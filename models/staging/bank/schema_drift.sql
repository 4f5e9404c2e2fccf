{{ config(materialized='view', meta={'lists_bases': true}) }}

-- All base models are asked, also one that was added. These are named so that they come first, and for the lineage.
-- depends_on: {{ ref('base_bank__customer_changes') }}, {{ ref('base_bank__checking_account_changes') }}
-- depends_on: {{ ref('base_bank__transaction_changes') }}, {{ ref('base_bank__scheduled_payment_changes') }}
-- depends_on: {{ ref('base_bank__purchase_changes') }}
with

rows_seen as (

    {%- for base in base_models() %}

        select
            '{{ base.bronze_table }}' as bronze_table,
            explode_outer(concat(
                transform(coalesce(_cdc_unknown_fields, array()), name -> struct(name, 'unknown' as kind)),
                transform(coalesce(_cdc_missing_fields, array()), name -> struct(name, 'missing' as kind))
            )) as drift,
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

-- Rows that are as declared are one group of their table, in which no field is named.
fields as (

    select
        bronze_table,
        drift['name'] as field_name,
        drift['kind'] as kind,
        count(*) as message_count,
        min_by(_cdc_partition, struct(_ingested_at, _cdc_offset)) as _cdc_partition,
        min_by(_cdc_offset, struct(_ingested_at, _cdc_offset)) as _cdc_offset,
        min(_ingested_at) as _ingested_at,
        max(_ingested_at) as newest_at
    from rows_seen
    group by bronze_table, drift

),

with_newest_of_table as (

    select
        *,
        max(newest_at) over (partition by bronze_table) as newest_of_table_at
    from fields

),

final as (

    select
        bronze_table,
        field_name,
        kind,
        message_count,
        _cdc_partition,
        _cdc_offset,
        _ingested_at
    from with_newest_of_table
    -- What only older rows have or lack was added to the table or taken from it, and is no drift any more.
    where
        field_name is not null
        and newest_at = newest_of_table_at

)

select * from final
