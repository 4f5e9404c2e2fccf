"""The streaming queries: one for each topic, so that a topic in trouble stops alone and a new one disturbs none."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from ingestion.config import Config, IngestionError
from ingestion.schema import BRONZE_COLUMNS, to_bronze

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Landed:
    """What one run brought of one topic."""

    topic: str
    table: str
    rows: int


def ingest_available(spark: SparkSession, config: Config) -> list[Landed]:
    """Land everything that is on the topics now, then end (Spark's `availableNow`).

    Raises:
        IngestionError: one or more topics could not be landed; the others were, to the end.
    """
    queries = {topic: start_query(spark, config, topic, {"availableNow": True}) for topic in find_topics(spark, config)}
    landed, troubles = [], []
    for topic, query in queries.items():
        try:
            query.awaitTermination()
            rows = sum(progress.numInputRows for progress in query.recentProgress)
            landed.append(Landed(topic, config.table_of(topic), rows))
        except PySparkException as error:
            troubles.append(explain(error, config, topic))
    if troubles:
        raise IngestionError("\n".join(troubles))
    return landed


def ingest_continuously(
    spark: SparkSession,
    config: Config,
    *,
    every: str = "5 seconds",
    look_for_topics_every: float = 30.0,
    report: Progress,
    should_stop: Callable[[], bool],
) -> None:
    """Land messages as they come, until told to stop; a topic that appears meanwhile is taken up.

    A query lives in the Spark server: one whose client was killed goes on there, and starting it again on the same
    checkpoint takes it over, each message still landing once.

    Args:
        spark: session.
        config: where to read and write.
        every: time between micro-batches, as Spark writes intervals.
        look_for_topics_every: seconds.
        report: gets one line when a topic starts and when one fails.
        should_stop: asked once a second.

    Raises:
        IngestionError: told to stop, with topics that had failed on the way.
    """
    queries: dict[str, StreamingQuery] = {}
    troubles: dict[str, str] = {}
    next_look = 0.0
    try:
        while not should_stop():
            if time.monotonic() >= next_look:
                for topic in find_topics(spark, config):
                    if topic not in queries:
                        queries[topic] = start_query(spark, config, topic, {"processingTime": every})
                        report(f"{topic} lands in {config.table_of(topic)}")
                next_look = time.monotonic() + look_for_topics_every
            for topic, query in queries.items():
                error = query.exception() if topic not in troubles else None
                if error is not None:
                    troubles[topic] = explain(error, config, topic)
                    report(troubles[topic])
            time.sleep(1)
    finally:
        for query in queries.values():
            query.stop()
    if troubles:
        raise IngestionError("\n".join(troubles.values()))


def find_topics(spark: SparkSession, config: Config) -> list[str]:
    """Names of the topics that start with the prefix, in order."""
    return sorted(find_ends(spark, config))


def find_ends(spark: SparkSession, config: Config) -> dict[str, dict[str, int]]:
    """Where each topic that starts with the prefix ends now: the next offset of each partition (a number as text).

    Asks Spark's Kafka source itself, so that it needs no second Kafka client with security options of its own: a query
    that starts at the end reads nothing, and its progress names every partition that the pattern found.
    """
    options = {**config.reader_options(), "startingOffsets": "latest"}
    query = (
        spark.readStream.format("kafka")
        .options(**options)
        .option("subscribePattern", re.escape(config.topic_prefix) + ".+")
        .load()
        .writeStream.format("noop")
        .trigger(availableNow=True)
        .start()
    )
    try:
        query.awaitTermination()
    except PySparkException as error:
        raise IngestionError(explain(error, config, f"{config.topic_prefix}*")) from error
    # Where there is no topic at all, the offsets are JSON's null.
    ends: dict[str, dict[str, int]] | None = json.loads(query.recentProgress[-1].sources[0].endOffset or "null")
    return ends or {}


def not_landed(spark: SparkSession, config: Config) -> dict[str, int]:
    """How many messages are on the topics and not in Bronze yet, by Bronze table; tables that have all are left out.

    Raises:
        IngestionError: Kafka does not answer.
    """
    waiting: dict[str, int] = {}
    for topic, ends in find_ends(spark, config).items():
        table = config.table_of(topic)
        landed: dict[str, int] = {}
        if spark.catalog.tableExists(table):
            rows = spark.sql(f"select partition, max(offset) from {table} group by partition").collect()
            landed = {str(partition): offset + 1 for partition, offset in rows}
        count = sum(max(0, end - landed.get(partition, 0)) for partition, end in ends.items())
        if count:
            waiting[table] = count
    return waiting


def start_query(spark: SparkSession, config: Config, topic: str, trigger: dict[str, bool | str]) -> StreamingQuery:
    """Start the topic's query; Delta's sink and the checkpoint make each message land once."""
    table = config.table_of(topic)
    spark.sql(f"create schema if not exists {config.schema}")
    spark.sql(f"create table if not exists {table} ({BRONZE_COLUMNS}) using delta")
    messages = spark.readStream.format("kafka").options(**config.reader_options()).option("subscribe", topic).load()
    return (
        to_bronze(messages, ingested_at=F.current_timestamp())
        .writeStream.format("delta")
        .queryName(f"bronze: {topic}")
        .option("checkpointLocation", config.checkpoint_of(topic))
        .trigger(**trigger)  # type: ignore[arg-type]  # a dict of one keyword
        .toTable(table)
    )


def explain(error: PySparkException, config: Config, topic: str) -> str:
    """One line on why a topic's query ended: what is wrong, and what to do."""
    text = str(error)
    if "KAFKA_DATA_LOSS" in text or "failOnDataLoss" in text:
        lost = re.search(r"\[KAFKA_DATA_LOSS[^\]]*\]\s*([^\n]+)", text)
        gone = re.search(r"FetchPosition\{offset=(\d+).* is out of range for partition \S+-(\d+)", text)
        if gone:
            detail = f"offset {gone[1]} of partition {gone[2]} is the first that Kafka no longer holds."
        else:
            detail = lost[1].strip() if lost else "offsets that were still to be read are gone."
        return (
            f"{topic}: messages were lost before they were landed: {detail} "
            f"To go on with what Kafka still holds, remove {config.checkpoint_of(topic)} (what is landed already is "
            "recognised), then take a new snapshot of the table: see docs/runbook.md, 'Lost offsets'."
        )
    if "TimeoutException" in text or "Failed to create new KafkaAdminClient" in text:
        return f"{topic}: Kafka does not answer at {config.bootstrap_servers}. Is it up? For the local stack: make up"
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"{topic}: {first}"
