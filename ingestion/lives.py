"""Which life of a topic its messages are of.

An offset names a message only within one life of a topic. A new life begins when the topic is deleted and created
again, and when a partition's log is cut off at its end (an unclean leader election): the same offsets are given out
again. Why this is found by comparing messages: docs/decisions/0014.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from ingestion.config import Config
from ingestion.errors import IngestionError
from ingestion.explain import explain

# How many offsets are compared at each end of what has landed. At one place alone there may be a transaction's marker.
COMPARED = 10

# Bronze is looked into no further than this many offsets before a partition's end, as long as something is found there.
NEAR = 10_000

Ends = Mapping[str, Mapping[str, int]]
Spans = Mapping[str, Mapping[int, range]]


@dataclass(frozen=True)
class Life:
    """The life that a topic is in now, and how far it has landed.

    Attributes:
        number: counted from 1.
        landed: the last landed offset of each partition that has one.
        is_new: whether an earlier life has landed, and nothing of this one.
    """

    number: int = 1
    landed: Mapping[int, int] = field(default_factory=dict)
    is_new: bool = False


def find_ends(spark: SparkSession, config: Config) -> dict[str, dict[str, int]]:
    """Where each topic that starts with the prefix ends now: the next offset of each partition (a number as text).

    A transaction that is still open ends its partition, as nothing behind its first message can be read yet.

    Asks Spark's Kafka source itself, so that it needs no second Kafka client with security options of its own: a query
    that starts at the end reads nothing, and its progress names every partition that the pattern found.
    """
    # It keeps no message, so it loses none where a topic is made again meanwhile.
    options = {**config.reader_options(), "startingOffsets": "latest", "failOnDataLoss": "false"}
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


def tally(spark: SparkSession, tables: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """The newest life in each topic's Bronze table, and how many messages the table has: Delta knows both unread.

    Args:
        spark: session.
        tables: by topic, what stands after SQL's `from` for its Bronze table.
    """
    rows = union(
        spark,
        (
            f"select '{topic}' as topic, coalesce(max(topic_life), 1) as life, count(*) as messages from {table}"
            for topic, table in tables.items()
        ),
    )
    return {topic: (life, messages) for topic, life, messages in rows}


def find_lives(
    spark: SparkSession, config: Config, ends: Ends, tables: Mapping[str, str], found: Mapping[str, tuple[int, int]]
) -> dict[str, Life]:
    """The life that each topic is in.

    It is a new one where the topic has fewer partitions, or ends before what has landed, or has another message at the
    place of a landed one. It is also new where the table has messages, but none of this topic, as after a new
    TOPIC_PREFIX: its offsets restart at 0. A message that is gone proves nothing: retention, compaction or
    a transaction took it.

    Args:
        spark: session.
        config: where to read and write.
        ends: what `find_ends` found, before this was called.
        tables: by topic, what stands after SQL's `from` for its Bronze table.
        found: what `tally` says of those.
    """
    lives = {topic: Life(life) for topic, (life, _) in found.items()}
    landed = last_landed(spark, ends, {topic: tables[topic] for topic, (_, count) in found.items() if count}, lives)
    lives |= {topic: Life(lives[topic].number, offsets) for topic, offsets in landed.items()}
    short = [topic for topic in landed if ends_before(ends.get(topic, {}), landed[topic])]
    if short:
        # A query that is at work may have landed what came after the look at the ends.
        now = find_ends(spark, config)
        short = [topic for topic in short if ends_before(now.get(topic, {}), landed[topic])]
    whole = {topic: lives[topic] for topic in landed if topic not in short}
    strange = {topic for topic, (_, count) in found.items() if count and not landed.get(topic)}
    renewed = {*short, *strange, *differing(spark, config, tables, whole)}
    return lives | {topic: Life(lives[topic].number + 1, is_new=True) for topic in renewed}


def ends_before(ends: Mapping[str, int], landed: Mapping[int, int]) -> bool:
    """Whether a topic ends before what has landed."""
    return any(ends.get(str(partition), 0) <= offset for partition, offset in landed.items())


def last_landed(
    spark: SparkSession, ends: Ends, tables: Mapping[str, str], lives: Mapping[str, Life]
) -> dict[str, dict[int, int]]:
    """The last landed offset of each topic's partitions, in the life given; without topics of which nothing landed.

    What lies far before a partition's end is looked at only where nothing is found near it: Bronze may hold years.
    """
    landed: dict[str, dict[int, int]] = {topic: {} for topic in tables}
    wanted = {topic: dict(ends.get(topic, {})) for topic in tables}
    for near in (NEAR, None):
        queries = []
        for topic, partitions in wanted.items():
            places = [f"partition >= {len(ends.get(topic, {}))}"] if near else []
            for partition, end in partitions.items():
                places.append(f"partition = {partition} and offset >= {max(0, end - near) if near else 0}")
            if places:
                where = f"{of_life(topic, lives[topic])} and ({' or '.join(places)})"
                queries.append(
                    f"select '{topic}' as topic, partition, max(offset) from {tables[topic]} "
                    f"where {where} group by partition"
                )
        for topic, partition, offset in union(spark, queries):
            landed[topic][partition] = offset
        wanted = {
            topic: {
                partition: end
                for partition, end in partitions.items()
                if end > NEAR and int(partition) not in landed[topic]
            }
            for topic, partitions in wanted.items()
        }
    return {topic: offsets for topic, offsets in landed.items() if offsets}


def differing(spark: SparkSession, config: Config, tables: Mapping[str, str], lives: Mapping[str, Life]) -> set[str]:
    """Topics that have other messages than Bronze at the first or the last places that have landed.

    The last show that a query which goes on after them would leave something out. The first show that one did.
    """
    if not lives:
        return set()
    firsts = {
        topic: {partition: range(min(COMPARED, last + 1)) for partition, last in life.landed.items()}
        for topic, life in lives.items()
    }
    lasts = {
        topic: {partition: range(max(0, last + 1 - COMPARED), last + 1) for partition, last in life.landed.items()}
        for topic, life in lives.items()
    }
    message = ("topic", "partition", "offset", "xxhash64(timestamp, key, value) as digest")
    bronze = " union all ".join(
        f"select -1 as place, {', '.join(message)} from {tables[topic]} where {of_life(topic, lives[topic])} and ("
        + " or ".join(
            f"partition = {partition} and offset between {span.start} and {span.stop - 1}"
            for spans in (firsts, lasts)
            for partition, span in spans[topic].items()
        )
        + ")"
        for topic in lives
    )
    frame = spark.sql(bronze)
    for place, spans in enumerate((firsts, lasts)):
        frame = frame.unionAll(read_messages(spark, config, spans).selectExpr(f"{place} as place", *message))
    rows = frame.collect()
    in_bronze = {(topic, partition, offset, digest) for place, topic, partition, offset, digest in rows if place < 0}
    renewed = set()
    for place, topic, partition, offset, digest in rows:
        if place < 0 or (topic, partition, offset, digest) in in_bronze:
            continue
        span = (firsts, lasts)[place][topic][partition]
        # Before the first that Bronze has, it may have been cleared.
        if any(one[:2] == (topic, partition) and span.start <= one[2] <= offset for one in in_bronze):
            renewed.add(topic)
    return renewed


def count_readable(spark: SparkSession, config: Config, ends: Ends, lives: Mapping[str, Life]) -> dict[str, int]:
    """How many messages a consumer could still read of each topic behind what has landed; without topics with none.

    They are read and counted: markers of transactions and aborted messages have offsets, too.
    """
    spans: dict[str, dict[int, range]] = {}
    for topic, partitions in ends.items():
        landed = lives[topic].landed
        behind = {
            int(partition): range(landed.get(int(partition), -1) + 1, end) for partition, end in partitions.items()
        }
        if waiting := {partition: span for partition, span in behind.items() if span}:
            spans[topic] = waiting
    if not spans:
        return {}
    return {topic: count for topic, count in read_messages(spark, config, spans).groupBy("topic").count().collect()}


def read_messages(spark: SparkSession, config: Config, spans: Spans) -> DataFrame:
    """The messages that Kafka still has at some places, in the Kafka source's columns."""
    options = config.reader_options()
    options.pop("maxOffsetsPerTrigger", None)
    starting = {topic: {partition: span.start for partition, span in of.items()} for topic, of in spans.items()}
    ending = {topic: {partition: span.stop for partition, span in of.items()} for topic, of in spans.items()}
    return (
        spark.read.format("kafka")
        .options(**options)
        .option("assign", json.dumps({topic: list(of) for topic, of in spans.items()}))
        .option("startingOffsets", json.dumps(starting))
        .option("endingOffsets", json.dumps(ending))
        .option("failOnDataLoss", "false")
        # A consumer asks ahead, and is not closed before the answer: at a topic's end, half a second later.
        .option("kafka.fetch.max.wait.ms", "10")
        .load()
    )


def of_life(topic: str, life: Life) -> str:
    """Condition that a row of a topic's Bronze table is of that life. A table may hold rows of an old topic prefix."""
    return f"topic = '{topic}'" + (f" and topic_life = {life.number}" if life.number > 1 else "")


def union(spark: SparkSession, queries: Iterable[str] | Collection[str]) -> Iterator[tuple]:  # type: ignore[type-arg]
    """The rows of some queries, asked together, as each statement has its cost; none where there is no query."""
    text = " union all ".join(queries)
    return iter(spark.sql(text).collect() if text else [])
