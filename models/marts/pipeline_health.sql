{{ config(materialized='view') }}

with

runs as (

    select * from {{ ref('pipeline_runs') }}

),

final as (

    select
        bronze_table,
        -- What only older runs had or lacked was added to the table or taken from it, and is no drift any more.
        max_by(unknown_fields, run_started_at) as unknown_fields,
        max_by(missing_fields, run_started_at) as missing_fields,
        sum(change_count) as change_count,
        sum(quarantined_count) as quarantined_count,
        max(run_started_at) as last_run_at,
        max(last_committed_at) as last_committed_at,
        max(last_ingested_at) as last_ingested_at
    from runs
    group by bronze_table

)

select * from final
