-- The last runs that brought something.
select
    run_started_at,
    sum(change_count) as change_count,
    sum(quarantined_count) as quarantined_count,
    count(*) as tables,
    max(last_committed_at) as last_committed_at
from pipeline_runs
group by run_started_at
order by run_started_at desc
limit 20
