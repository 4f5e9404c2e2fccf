-- A message in quarantine is something that happened in the bank and that no figure shows. The run goes on without
-- it; somebody should read the reason and mend the decoding or the source (docs/runbook.md).
{{ config(severity='warn') }}

with

final as (

    select
        bronze_table,
        _cdc_partition,
        _cdc_offset,
        reason
    from {{ ref('quarantined_messages') }}

)

select * from final
