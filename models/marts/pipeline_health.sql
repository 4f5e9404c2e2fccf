{{ config(materialized='view') }}

with

runs as (

    select * from {{ ref('pipeline_runs') }}

),

-- A run goes on where the one before it ended. One that began earlier read the table again, with what came before.
counted_runs as (

    select runs.*
    from runs
    left anti join runs as later
        on
            runs.bronze_table = later.bronze_table
            and runs.run_started_at < later.run_started_at
            and runs.last_ingested_at >= later.first_ingested_at

),

final as (

    select
        bronze_table,
        -- What only older rows had or lacked was added to the table or taken from it, and is no drift any more.
        -- A delete has no row.
        max_by(unknown_fields, run_started_at) filter (
            where coalesce(readable_row_count, 1) > 0 or unknown_fields is not null
        ) as unknown_fields,
        max_by(missing_fields, run_started_at) filter (where coalesce(readable_row_count, 1) > 0) as missing_fields,
        sum(change_count) as change_count,
        sum(quarantined_count) as quarantined_count,
        max(run_started_at) as last_run_at,
        max(last_committed_at) as last_committed_at,
        max(last_ingested_at) as last_ingested_at
    from counted_runs
    group by bronze_table

)

select * from final
