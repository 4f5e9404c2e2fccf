{{ config(materialized='view') }}

with

runs as (

    select * from {{ ref('pipeline_runs') }}

),

final as (

    select
        bronze_table,
        -- What only older rows had or lacked was added to the table or taken from it, and is no drift any more.
        -- A delete has no row.
        max_by(unknown_fields, run_number) filter (
            where readable_row_count > 0 or unknown_fields is not null
        ) as unknown_fields,
        max_by(missing_fields, run_number) filter (where readable_row_count > 0) as missing_fields,
        sum(change_count) as change_count,
        sum(quarantined_count) as quarantined_count,
        max_by(run_started_at, run_number) as last_run_at,
        max(last_committed_at) as last_committed_at,
        max(last_ingested_at) as last_ingested_at
    from runs
    group by bronze_table

)

select * from final
