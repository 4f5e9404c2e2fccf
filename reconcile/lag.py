"""What has not come all the way to Silver: it explains differences, and where there is nothing, they are real."""

from __future__ import annotations

import os

import ingestion
from reconcile.project import Project
from reconcile.stores import Lake


def lag(project: Project, lake: Lake) -> list[str]:
    """A line for each place where messages wait; empty when all that was captured is in Silver.

    To be asked after capture has passed the moment that is compared: then Kafka holds all of it.
    """
    lines = []
    try:
        config = ingestion.Config.from_environment(os.environ)
        waiting = ingestion.not_landed(lake.spark, config)
    except ingestion.IngestionError as error:
        lines.append(f"Whether messages wait on Kafka can't be told: {error}")
    else:
        lines += [f"{count:,} messages wait on Kafka for {table}: make ingest" for table, count in waiting.items()]
    for entity in project.entities:
        if lake.spark.catalog.tableExists(entity.bronze):
            # A tombstone is no change, and never comes to Silver.
            ((count,),) = lake.rows(
                "select count(*) from (select coalesce(topic_life, 1) as life, partition, offset from "
                f"{entity.bronze} where value is not null) as landed left join (select _cdc_topic_life as life, "
                f"_cdc_partition as partition, max(_cdc_offset) as last from {entity.changes} group by 1, 2) as taken "
                "using (life, partition) where last is null or offset > last"
            )
            if count:
                # After a crash Debezium repeats itself, and a repetition is never taken up.
                lines.append(
                    f"{count:,} messages of {entity.bronze} are newer than all that Silver took up: dbt run,"
                    " unless that leaves them so, as they only repeat others"
                )
    return lines
