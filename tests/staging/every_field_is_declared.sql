-- The bank's table has a field that no model shows, or no longer has one that a model declares. Nothing is lost: Bronze
-- holds every message. Somebody should declare the field, and have Silver read Bronze again (docs/runbook.md).
{{ config(severity='warn') }}

with

final as (

    select
        bronze_table,
        field_name,
        kind,
        _cdc_partition,
        _cdc_offset
    from {{ ref('schema_drift') }}

)

select * from final
