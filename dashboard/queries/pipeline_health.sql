-- How new each table is, how much came, what could not be read, and what differs from what is expected.
select
    bronze_table,
    change_count,
    quarantined_count,
    unknown_fields,
    missing_fields,
    last_committed_at,
    last_ingested_at,
    last_run_at
from pipeline_health
order by bronze_table
