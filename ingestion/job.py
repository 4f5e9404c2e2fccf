"""The streaming queries: one for each topic, so that a topic in trouble stops alone and a new one disturbs none."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from uuid import UUID

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from ingestion.config import Config
from ingestion.errors import IngestionError
from ingestion.explain import explain
from ingestion.lives import Ends, Life, count_readable, find_ends, find_lives, tally
from ingestion.schema import BRONZE_COLUMNS, LIFE, LIFE_COLUMN, to_bronze

Progress = Callable[[str], None]
# The last micro-batch that a query landed: the query's run, and the number of batches in all its runs.
MicroBatch = tuple[UUID, int]


@dataclass(frozen=True)
class Landed:
    """What one run brought of one topic."""

    topic: str
    table: str
    rows: int
    life: Life


@dataclass(frozen=True)
class Found:
    """What there is to land.

    Attributes:
        lives: the life that each topic is in.
        messages: how many its Bronze table has.
        troubles: one line on each topic that can't be landed.
    """

    lives: dict[str, Life]
    messages: dict[str, int]
    troubles: dict[str, str]


def ingest_available(spark: SparkSession, config: Config) -> list[Landed]:
    """Land everything that is on the topics now, then end (Spark's `availableNow`).

    Raises:
        IngestionError: one or more topics could not be landed; the others were, to the end.
    """
    found = look(spark, config)
    troubles = dict(found.troubles)
    queries: dict[str, StreamingQuery] = {}
    moved = []
    for topic, life in found.lives.items():
        try:
            queries[topic] = start_query(spark, config, topic, life, {"availableNow": True})
        except PySparkException as error:
            troubles[topic] = explain(error, config, topic, life.number)
    for topic, query in queries.items():
        try:
            query.awaitTermination()
            sources = [source for progress in query.recentProgress for source in progress["sources"]]
            if any(source["startOffset"] != source["endOffset"] for source in sources):
                moved.append(topic)
        except PySparkException as error:
            troubles[topic] = explain(error, config, topic, found.lives[topic].number)
    # Not by the queries' progress, of which Spark keeps the last hundred micro-batches.
    now = tally(spark, {topic: config.table_of(topic) for topic in moved})
    landed = [
        Landed(
            topic,
            config.table_of(topic),
            now[topic][1] - found.messages[topic] if topic in now else 0,
            found.lives[topic],
        )
        for topic in queries
        if topic not in troubles
    ]
    if troubles:
        raise IngestionError("\n".join(dict.fromkeys(troubles.values())))
    return landed


def ingest_continuously(
    spark: SparkSession,
    config: Config,
    *,
    every: str = "5 seconds",
    look_for_topics_every: float = 30.0,
    report: Progress,
    should_stop: Callable[[], bool],
    landed: Callable[[str, MicroBatch], None] = lambda topic, batch: None,
) -> None:
    """Land messages as they come, until told to stop; a topic that appears meanwhile is taken up.

    A query that ended is started again when topics are looked for: what ended it may have passed.

    A query lives in the Spark server: one whose client was killed goes on there, and starting it again on the same
    checkpoint takes it over, each message still landing once.

    Args:
        spark: session.
        config: where to read and write.
        every: time between micro-batches, as Spark writes intervals.
        look_for_topics_every: seconds.
        report: gets one line when a topic starts, when one fails, and when one lands again.
        should_stop: asked once a second.
        landed: gets a topic's name and its last micro-batch, after the query's first trigger and within a second or two
            of each micro-batch.

    Raises:
        IngestionError: told to stop, with topics that had failed and not landed since.
    """
    queries: dict[str, StreamingQuery] = {}
    failed: set[str] = set()
    lives: dict[str, int] = {}
    troubles: dict[str, str] = {}
    batches: dict[str, MicroBatch] = {}

    def take_up(topic: str, life: Life) -> None:
        if topic in queries:
            queries.pop(topic).stop()
        lives[topic] = life.number
        try:
            queries[topic] = start_query(spark, config, topic, life, {"processingTime": every})
        except PySparkException as error:
            fail(topic, explain(error, config, topic, life.number))
        else:
            failed.discard(topic)
            if topic not in troubles:
                report(f"{topic} lands in {config.table_of(topic)}")

    def fail(topic: str, line: str) -> None:
        failed.add(topic)
        complain(topic, line)

    def complain(topic: str, line: str) -> None:
        if line not in troubles.values():
            report(line)
        troubles[topic] = line

    next_look = 0.0
    try:
        while not should_stop():
            if time.monotonic() >= next_look:
                found = look(spark, config)
                for topic, line in found.troubles.items():
                    if topic not in queries:
                        complain(topic, line)
                for topic, life in found.lives.items():
                    if lives.get(topic) != life.number:
                        if life.is_new:
                            report(new_life(topic, life))
                        troubles.pop(topic, None)
                        take_up(topic, life)
                    elif topic in failed:
                        take_up(topic, life)
                next_look = time.monotonic() + look_for_topics_every
            for topic, query in queries.items():
                if topic not in failed and not query.isActive:
                    fail(topic, why_ended(query, config, topic, lives[topic]))
                done = batches_done(query)
                if done is not None and done != batches.get(topic):
                    batches[topic] = done
                    landed(topic, done)
                    if topic in troubles and topic not in failed:
                        del troubles[topic]
                        report(f"{topic} lands again")
            time.sleep(1)
    finally:
        for query in queries.values():
            query.stop()
    if troubles:
        raise IngestionError("\n".join(dict.fromkeys(troubles.values())))


def why_ended(query: StreamingQuery, config: Config, topic: str, life: int) -> str:
    """One line on why a query ended."""
    error = query.exception()
    return explain(error, config, topic, life) if error else f"{topic}: its query was stopped. It starts again soon"


def batches_done(query: StreamingQuery) -> MicroBatch | None:
    """The last micro-batch that a query landed; None before its first trigger.

    A trigger that finds nothing to read reports the number of the batch that is next.
    """
    progress = query.lastProgress
    return (progress.runId, progress.batchId + (progress.numInputRows > 0)) if progress is not None else None


def look(spark: SparkSession, config: Config) -> Found:
    """Find the topics, see that each has a table, and tell which life it is in."""
    ends = find_ends(spark, config)
    troubles = collisions(config, ends)
    tables = {}
    for topic in sorted(ends.keys() - troubles.keys()):
        table = config.table_of(topic)
        try:
            make_table(spark, config, table)
            tables[topic] = table
        except PySparkException as error:
            troubles[topic] = explain(error, config, topic)
    found = tell_lives(spark, config, ends, tables)
    return Found(found.lives, found.messages, troubles | found.troubles)


def tell_lives(spark: SparkSession, config: Config, ends: Ends, tables: Mapping[str, str]) -> Found:
    """The life that each topic is in; all topics are asked about together, and one by one where that fails."""
    try:
        found = tally(spark, tables)
        lives = find_lives(spark, config, ends, tables, found)
    except PySparkException as error:
        if len(tables) == 1:
            (topic,) = tables
            return Found({}, {}, {topic: explain(error, config, topic)})
        each = [tell_lives(spark, config, ends, {topic: table}) for topic, table in tables.items()]
        return Found(
            *(
                {topic: value for one in each for topic, value in getattr(one, part.name).items()}
                for part in fields(Found)
            )
        )
    return Found(lives, {topic: messages for topic, (_, messages) in found.items()}, {})


def collisions(config: Config, topics: Iterable[str]) -> dict[str, str]:
    """One line on each topic that would share its table with another: none of those may be landed."""
    sharing: dict[str, list[str]] = defaultdict(list)
    for topic in sorted(topics):
        sharing[config.table_of(topic)].append(topic)
    return {
        topic: f"{' and '.join(together)} would land in one table, {table}: none of them is landed. Have the connector "
        "send one to a topic of another name, and delete the topic that is then of no use: see docs/runbook.md, "
        "'Two topics, one table'."
        for table, together in sharing.items()
        if len(together) > 1
        for topic in together
    }


def new_life(topic: str, life: Life) -> str:
    """One line on a topic that began anew."""
    return (
        f"{topic} was created again, or its log was cut off: it lands from its beginning, as life {life.number}. "
        "What it held before and was not landed is lost: see docs/runbook.md, 'Lost offsets'."
    )


def not_landed(spark: SparkSession, config: Config) -> dict[str, int]:
    """How many messages a consumer could read that are not in Bronze yet, by Bronze table; without those that have all.

    Raises:
        IngestionError: Kafka does not answer.
    """
    ends = find_ends(spark, config)
    tables = {}
    for topic in ends:
        table = config.table_of(topic)
        columns = columns_of(spark, table)
        if columns:
            # Nothing is made or altered here: ingestion adds the column.
            tables[topic] = table if LIFE in columns else f"(select *, cast(null as int) as {LIFE} from {table})"
    found = tell_lives(spark, config, ends, tables)
    if found.troubles:
        raise IngestionError("\n".join(found.troubles.values()))
    try:
        counts = count_readable(spark, config, ends, {topic: Life() for topic in ends} | found.lives)
    except PySparkException as error:
        raise IngestionError(explain(error, config, f"{config.topic_prefix}*")) from error
    waiting: Counter[str] = Counter()
    for topic, count in counts.items():
        waiting[config.table_of(topic)] += count
    return dict(waiting)


def start_query(
    spark: SparkSession, config: Config, topic: str, life: Life, trigger: dict[str, bool | str]
) -> StreamingQuery:
    """Start the topic's query; Delta's sink and the checkpoint make each message land once in a life.

    A query that a killed client left in the Spark server is taken over. A life of which nothing has landed begins at
    its beginning: no message tells whether the checkpoint's place is still one of it.
    """
    checkpoint = config.checkpoint_of(topic, life.number)
    if not life.landed:
        shutil.rmtree(checkpoint, ignore_errors=True)
    try:
        return start(spark, config, topic, life, trigger)
    except PySparkException as error:
        if "CONCURRENT_QUERY" not in str(error) or not renew_query_id(checkpoint):
            raise
    return start(spark, config, topic, life, trigger)


def renew_query_id(checkpoint: str) -> bool:
    """Give a checkpoint's query another id, by which Spark's server takes it for one that it doesn't know.

    Spark registers a second start of a query before it refuses it, and then never forgets it
    (StreamingQueryManager.startQuery, CONCURRENT_QUERY): it refuses the query until the server is started again. It
    takes two starts while an older one is being stopped, as when two clients are killed one after the other. Offsets
    and commits stay as they are. A batch whose commit was lost on the way lands again, which Silver recognises.

    Returns:
        Whether the checkpoint is in reach, as a folder or in a volume, and has an id.
    """
    metadata = Path(checkpoint) / "metadata"
    if not metadata.is_file():
        return False
    new = metadata.with_name("metadata.new")
    new.write_text(json.dumps({"id": str(uuid.uuid4())}))
    # Hadoop's local file system keeps a checksum of each file beside it.
    (metadata.parent / ".metadata.crc").unlink(missing_ok=True)
    new.replace(metadata)
    return True


def start(
    spark: SparkSession, config: Config, topic: str, life: Life, trigger: dict[str, bool | str]
) -> StreamingQuery:
    """Start the topic's query, as Spark lets it."""
    messages = spark.readStream.format("kafka").options(**config.reader_options()).option("subscribe", topic).load()
    return (
        to_bronze(messages, ingested_at=F.current_timestamp(), topic_life=life.number)
        .writeStream.format("delta")
        .queryName(f"bronze: {topic}")
        .option("checkpointLocation", config.checkpoint_of(topic, life.number))
        .trigger(**trigger)  # type: ignore[arg-type]  # a dict of one keyword
        .toTable(config.table_of(topic))
    )


def make_table(spark: SparkSession, config: Config, table: str) -> None:
    """Make the Bronze table, and its schema, where they are missing; an older table gets the column `topic_life`.

    They are looked for first: Unity Catalog asks for the right to create even where there would be nothing to do
    ("create schema if not exists": dbt-labs/dbt-fusion#258).
    """
    columns = columns_of(spark, table)
    if not columns:
        if not spark.catalog.databaseExists(config.schema_name):
            spark.sql(f"create schema if not exists {config.schema_name}")
        spark.sql(f"create table if not exists {table} ({BRONZE_COLUMNS}) using delta")
    elif LIFE not in columns:
        spark.sql(f"alter table {table} add columns ({LIFE_COLUMN})")


def columns_of(spark: SparkSession, table: str) -> list[str]:
    """Names of a table's columns; none where there is no table."""
    return spark.table(table).columns if spark.catalog.tableExists(table) else []
