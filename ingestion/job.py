"""The streaming queries: one for each topic, so that a topic in trouble stops alone and a new one disturbs none."""

from __future__ import annotations

import json
import re
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from ingestion.config import Config
from ingestion.errors import IngestionError
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
    queries: dict[str, StreamingQuery] = {}
    landed, troubles = [], []
    for topic in find_topics(spark, config):
        try:
            queries[topic] = start_query(spark, config, topic, {"availableNow": True})
        except PySparkException as error:
            troubles.append(explain(error, config, topic))
    for topic, query in queries.items():
        try:
            query.awaitTermination()
            rows = sum(source["numInputRows"] for progress in query.recentProgress for source in progress["sources"])
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
                    if topic in queries or topic in troubles:
                        continue
                    try:
                        queries[topic] = start_query(spark, config, topic, {"processingTime": every})
                        report(f"{topic} lands in {config.table_of(topic)}")
                    except PySparkException as error:
                        troubles[topic] = explain(error, config, topic)
                        report(troubles[topic])
                next_look = time.monotonic() + look_for_topics_every
            for topic, query in queries.items():
                ended = query.exception() if topic not in troubles else None
                if ended is not None:
                    troubles[topic] = explain(ended, config, topic)
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
    # A checkpoint of its own, new each time: an old one would have it read all that came since. Spark would choose a
    # folder itself, but on Databricks' serverless compute it doesn't (TEMP_CHECKPOINT_LOCATION_NOT_SUPPORTED).
    checkpoint = config.checkpoint_of(f"_finding_topics/{uuid.uuid4().hex}")
    try:
        query = (
            spark.readStream.format("kafka")
            .options(**options)
            .option("subscribePattern", re.escape(config.topic_prefix) + ".+")
            .load()
            .writeStream.format("noop")
            .option("checkpointLocation", checkpoint)
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        progress = query.recentProgress
    except PySparkException as error:
        raise IngestionError(explain(error, config, f"{config.topic_prefix}*")) from error
    finally:
        # Volumes are folders to Python, as the stack's is. Where it is out of sight, a few small files stay.
        shutil.rmtree(checkpoint, ignore_errors=True)
    if not progress:
        raise IngestionError(f"{config.topic_prefix}*: Spark doesn't say what it found on Kafka. Run this again.")
    return offsets(progress[-1]["sources"][0]["endOffset"])


def offsets(told: str | dict[str, dict[str, int]] | None) -> dict[str, dict[str, int]]:
    """Offsets by topic and partition, from a query's progress; none where there is no topic.

    Spark tells them in JSON. PySpark 4.0 and 4.1 have read it already over Spark Connect, and a session that isn't over
    Connect writes Java's null in Python's way.
    """
    if isinstance(told, str):
        told = None if told == "None" else json.loads(told)
    return told or {}


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
    make_table(spark, config, table)
    messages = spark.readStream.format("kafka").options(**config.reader_options()).option("subscribe", topic).load()
    return (
        to_bronze(messages, ingested_at=F.current_timestamp())
        .writeStream.format("delta")
        .queryName(f"bronze: {topic}")
        .option("checkpointLocation", config.checkpoint_of(topic))
        .trigger(**trigger)  # type: ignore[arg-type]  # a dict of one keyword
        .toTable(table)
    )


def make_table(spark: SparkSession, config: Config, table: str) -> None:
    """Make the Bronze table, and its schema, where they are missing.

    They are looked for first: Unity Catalog asks for the right to create even where there would be nothing to do
    ("create schema if not exists": dbt-labs/dbt-fusion#258).
    """
    if spark.catalog.tableExists(table):
        return
    if not spark.catalog.databaseExists(config.schema_name):
        spark.sql(f"create schema if not exists {config.schema_name}")
    spark.sql(f"create table if not exists {table} ({BRONZE_COLUMNS}) using delta")


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
    if "SaslAuthenticationException" in text or "LoginException" in text:
        return (
            f"{topic}: the login to Kafka fails: {config.without_secrets(why_login_failed(text))}. "
            "Look at --kafka-auth, and at its secrets in the secret scope or the environment."
        )
    if "SslAuthenticationException" in text or "SSLHandshakeException" in text:
        return (
            f"{topic}: no TLS comes about with Kafka at {config.bootstrap_servers}. If its certificate is a company's "
            "own, give the authority's as ssl.truststore.certificates, with ssl.truststore.type=PEM."
        )
    unmade = "Failed to create new KafkaAdminClient" in text and "No resolvable bootstrap" not in text
    if unmade and "TimeoutException" not in text:
        # Its cause is not told: what can't be read as a login may be a piece of a password.
        return (
            f"{topic}: Kafka's client can't be made of its options. Look at those that begin with sasl. and ssl., in "
            "--kafka-option, the secret scope and the environment."
        )
    if "TimeoutException" in text or "Failed to create new KafkaAdminClient" in text:
        return f"{topic}: Kafka does not answer at {config.bootstrap_servers}. Is it up? For the local stack: make up"
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    if "INFINITE_STREAMING_TRIGGER_NOT_SUPPORTED" in text:
        first = "this compute has no continuous trigger. Run available-now again and again, in a continuous job."
    return f"{topic}: {config.without_secrets(first)}"


def why_login_failed(text: str) -> str:
    """What Kafka's client says of it, in an error with its causes."""
    answer = re.search(r"response code (\d+) [^\n]*token endpoint", text)
    if answer:
        return f"the token endpoint answers {answer[1]}"
    if "retrieving token" in text:
        return "the token endpoint doesn't answer, or with no token"
    said = re.search(r"Authentication failed[^\n]*?(?=\.?\s*(?:SQLSTATE|\n|$))", text)
    return said[0] if said else "Kafka's client can't make sense of it"
