"""Every message lands once, whatever happens to the job; and what a person must mend is one line.

Each test has a topic prefix, a Bronze schema and checkpoints of its own, beside the bank's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from pipeline import PROJECT, Stack, wait_for
from pyspark.sql import DataFrame

import ingestion
import local.home
from ingestion.job import make_table
from ingestion.schema import BRONZE_COLUMNS, LIFE, LIFE_COLUMN


@dataclass
class Lane:
    """Topics of one test, and where they land."""

    stack: Stack
    prefix: str
    schema: str
    checkpoints: Path
    anew: set[str] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        return {"TOPIC_PREFIX": self.prefix, "BRONZE_SCHEMA": self.schema, "CHECKPOINTS": str(self.checkpoints)}

    @property
    def config(self) -> ingestion.Config:
        return ingestion.Config.from_environment({**self.stack.environment, **self.environment})

    def send(self, topic: str, values: Sequence[str | None]) -> None:
        """Put values on a topic, each under the key `k`, in order; None is a tombstone."""
        self.stack.send(self.prefix + topic, [(b"k", None if value is None else value.encode()) for value in values])

    def ingest(self, *options: str) -> dict[str, int]:
        return self.stack.ingest(*options, environment=self.environment)

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start the job and don't wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "ingestion", *options],
            cwd=PROJECT,
            env={**self.stack.clean_environment(), **self.stack.environment, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def landed(self, table: str) -> list[tuple[int, str | None]]:
        """Offset and value of each row of a Bronze table, in order; empty while there is no table."""
        if not self.stack.spark.catalog.tableExists(f"{self.schema}.{table}"):
            return []
        rows = self.stack.rows(
            f"select offset, cast(value as string) as value from {self.schema}.{table} order by partition, offset"
        )
        return [(row["offset"], row["value"]) for row in rows]

    def land(self, max_offsets_per_trigger: int | None = None) -> dict[str, int]:
        """As `ingest`, without the seconds that a process takes to start: how many messages of each topic landed."""
        config = replace(self.config, max_offsets_per_trigger=max_offsets_per_trigger)
        landed = ingestion.ingest_available(self.stack.spark, config)
        self.anew = {self.short(one.topic) for one in landed if one.life.is_new}
        return {self.short(one.topic): one.rows for one in landed}

    def waiting(self) -> dict[str, int]:
        """How many messages of each topic have not landed."""
        found = ingestion.not_landed(self.stack.spark, self.config)
        return {table.removeprefix(f"{self.schema}."): count for table, count in found.items()}

    def short(self, topic: str) -> str:
        return topic.removeprefix(self.prefix)

    def lives(self, table: str) -> dict[int, list[str]]:
        """The values in a Bronze table by the topic's life, in order."""
        rows = self.stack.rows(
            f"select topic_life, cast(value as string) as value from {self.schema}.{table} "
            "order by topic_life, partition, offset"
        )
        found: dict[int, list[str]] = defaultdict(list)
        for row in rows:
            found[row["topic_life"]].append(row["value"])
        return dict(found)

    @property
    def servers(self) -> dict[str, str]:
        return {"bootstrap.servers": self.stack.environment["KAFKA_BOOTSTRAP_SERVERS"]}

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient(self.servers)

    def produce(self, topic: str, values: Sequence[str], *, partition: int = 0, at: int = 0) -> None:
        """Put values on a partition.

        Args:
            topic: without the prefix.
            values: what is sent, under the key `k`.
            partition: where to.
            at: the first one's time, ms since 1970, so that two sends can be of the same messages; 0 is now.
        """
        producer = Producer(self.servers)
        for number, value in enumerate(values):
            producer.produce(self.prefix + topic, value, b"k", partition=partition, timestamp=at + number if at else at)
        assert producer.flush(30) == 0

    def transact(self, topic: str, values: Sequence[str]) -> Producer:
        """Put values on a topic in a transaction, which is left open."""
        producer = Producer({**self.servers, "transactional.id": f"{self.prefix}{topic}"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for value in values:
            producer.produce(self.prefix + topic, value, b"k", partition=0)
        producer.flush(30)
        return producer

    def make_topics(self, partitions: Mapping[str, int]) -> None:
        topics = [NewTopic(self.prefix + topic, count, 1) for topic, count in partitions.items()]
        for future in self.admin.create_topics(topics).values():
            future.result()

    def delete_topics(self, *topics: str) -> None:
        for future in self.admin.delete_topics([self.prefix + topic for topic in topics]).values():
            future.result()

    def make_again(self, partitions: Mapping[str, int]) -> None:
        """Delete topics and make them again, with so many partitions each."""
        self.delete_topics(*partitions)
        self.make_topics(partitions)

    def delete_before(self, topic: str, offset: int) -> None:
        """Let Kafka forget a topic's messages before an offset, as its retention does."""
        (future,) = self.admin.delete_records([TopicPartition(self.prefix + topic, 0, offset)]).values()
        assert future.result().low_watermark == offset


@pytest.fixture
def lane(stack: Stack) -> Iterator[Lane]:
    name = f"t{uuid.uuid4().hex[:8]}"
    lane = Lane(stack, prefix=f"{name}.", schema=name, checkpoints=stack.work / name)
    yield lane
    for query in stack.spark.streams.active:
        query.stop()
    stack.spark.sql(f"drop schema if exists {name} cascade")


def numbered(values: Sequence[str | None], first: int = 0) -> list[tuple[int, str | None]]:
    return list(enumerate(values, first))


def test_each_message_lands_once_as_it_came(lane: Lane) -> None:
    values = ['{"op":"c"}', None, "no JSON at all", "", "東京 ☕"]
    lane.send("one", values)
    lane.send("two", ["2"])
    assert ingestion.not_landed(lane.stack.spark, lane.config) == {f"{lane.schema}.one": 5, f"{lane.schema}.two": 1}
    assert lane.ingest() == {f"{lane.schema}.one": 5, f"{lane.schema}.two": 1}
    assert lane.landed("one") == numbered(values)

    assert lane.ingest() == {f"{lane.schema}.one": 0, f"{lane.schema}.two": 0}
    assert lane.landed("one") == numbered(values)

    lane.send("one", ["later"])
    assert ingestion.not_landed(lane.stack.spark, lane.config) == {f"{lane.schema}.one": 1}
    assert lane.ingest() == {f"{lane.schema}.one": 1, f"{lane.schema}.two": 0}
    assert lane.landed("one") == numbered([*values, "later"])
    assert list((lane.checkpoints / "_finding_topics").iterdir()) == [], "what finding topics needs, it takes away"


def test_what_exists_is_not_made_again(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unity Catalog asks for the right to create where there is nothing to create, and the job may not have it."""
    said: list[str] = []

    def sql(text: str) -> DataFrame:
        said.append(text.partition("(")[0].strip())
        return plain_sql(text)

    spark = lane.stack.spark
    plain_sql = spark.sql
    monkeypatch.setattr(spark, "sql", sql)
    schema = f"`spark_catalog`.{lane.schema}"
    config = replace(lane.config, schema=schema)
    for topic in ("one", "one", "two"):
        make_table(spark, config, config.table_of(lane.prefix + topic))
    assert said == [
        f"create schema if not exists spark_catalog.{lane.schema}",
        f"create table if not exists spark_catalog.{lane.schema}.one",
        f"create table if not exists spark_catalog.{lane.schema}.two",
    ]


def test_a_killed_job_is_run_again(lane: Lane) -> None:
    values = [str(number) for number in range(3000)]
    lane.send("many", values)
    job = lane.start("--max-offsets-per-trigger", "50")
    some = wait_for(lambda: lane.landed("many"), "the first messages land")
    job.kill()
    job.wait()
    assert len(some) < len(values), "the job was killed in mid-run"
    lane.ingest()
    assert lane.landed("many") == numbered(values)


def test_lost_messages_stop_their_topic_and_no_other(lane: Lane) -> None:
    lane.send("lossy", [str(number) for number in range(10)])
    lane.send("sound", ["first"])
    lane.ingest()
    lane.send("lossy", [str(number) for number in range(10, 20)])
    lane.send("sound", ["second"])
    lane.delete_before("lossy", 15)

    result = lane.stack.run("ingestion", environment=lane.environment)
    assert result.returncode == 1
    said = result.stderr.strip()
    assert "\n" not in said, said
    assert said.startswith(f"{lane.prefix}lossy: messages were lost before they were landed: "), said
    assert "offset 10 of partition 0 is the first that Kafka no longer holds." in said, said
    assert str(lane.checkpoints / f"{lane.prefix}lossy") in said, "it says what to remove"
    assert "docs/runbook.md" in said
    assert lane.landed("sound") == numbered(["first", "second"])
    assert len(lane.landed("lossy")) == 10

    # What it says to do.
    subprocess.run(["rm", "-r", lane.checkpoints / f"{lane.prefix}lossy"], check=True)
    assert lane.ingest() == {f"{lane.schema}.lossy": 5, f"{lane.schema}.sound": 0}
    assert [offset for offset, _ in lane.landed("lossy")] == [*range(10), *range(15, 20)]


def test_what_a_topic_holds_after_it_was_made_again_lands_whole(lane: Lane) -> None:
    """Its offsets say nothing of it: it may hold fewer, as many or more messages than the one before."""
    old, at = ["a", "b", "c"], int(time.time() * 1000)
    one = ("fewer", "as_many", "more", "empty", "grown", "cut_off", "split")
    lane.make_topics({**dict.fromkeys(one, 1), "joined": 3})
    # A table as it was made before messages were told apart by the topic's life.
    lane.stack.spark.sql(f"create schema {lane.schema}")
    columns = BRONZE_COLUMNS.replace(f",\n    {LIFE_COLUMN}", "")
    assert LIFE not in columns
    lane.stack.spark.sql(f"create table {lane.schema}.cut_off ({columns}) using delta")
    for topic in one:
        lane.produce(topic, old, at=at)
    for partition, value in enumerate(old):
        lane.produce("joined", [value], partition=partition)
    assert lane.waiting() == dict.fromkeys((*one, "joined"), 3)
    assert lane.land() == dict.fromkeys((*one, "joined"), 3)

    lane.make_again({"fewer": 1, "as_many": 1, "more": 1, "empty": 1, "cut_off": 1, "split": 3, "joined": 1})
    lane.produce("fewer", ["lost"] * 9)
    lane.make_again({"fewer": 1})
    new = {
        "fewer": ["1", "2"],
        "as_many": ["1", "2", "3"],
        "more": ["1", "2", "3", "4", "5"],
        "joined": ["1", "2", "3", "4"],
        "split": ["1"],
        # As an election leaves a log whose leader hadn't the newest messages: the same ones up to there, then others.
        "cut_off": ["a", "b", "C", "D"],
    }
    for topic, values in new.items():
        lane.produce(topic, values, partition=2 if topic == "split" else 0, at=at if topic == "cut_off" else 0)
    for future in lane.admin.create_partitions([NewPartitions(f"{lane.prefix}grown", 2)]).values():
        future.result()
    lane.produce("grown", ["d"], partition=1)

    counts = {topic: len(values) for topic, values in new.items()} | {"grown": 1}
    assert lane.waiting() == counts
    assert lane.land() == {**counts, "empty": 0}
    assert lane.anew == {*new, "empty"}
    assert {topic: lane.lives(topic) for topic in new} == {topic: {1: old, 2: values} for topic, values in new.items()}
    assert lane.lives("grown") == {1: [*old, "d"]}
    assert lane.lives("empty") == {1: old}

    # What comes later is of the same life, until the topic is made again.
    lane.make_again({"fewer": 1})
    later = {"more": ["6"], "empty": ["1", "2", "3", "4", "5"], "fewer": ["i", "ii"]}
    for topic, values in later.items():
        lane.produce(topic, values)
    counts = {topic: len(values) for topic, values in later.items()}
    assert lane.waiting() == counts
    assert lane.land() == dict.fromkeys((*one, "joined"), 0) | counts
    assert {topic: lane.lives(topic) for topic in later} == {
        "more": {1: old, 2: [*new["more"], "6"]},
        "empty": {1: old, 2: later["empty"]},
        "fewer": {1: old, 2: new["fewer"], 3: ["i", "ii"]},
    }
    assert lane.waiting() == {}


def test_what_was_not_committed_never_lands(lane: Lane) -> None:
    """Not of Kafka's transactions that were aborted; and neither those nor what marks their ends waits for ever."""
    for committed in (["a", "b"], ["c"]):
        lane.transact("both", committed).commit_transaction(30)
        lane.transact("both", ["not", "this"]).abort_transaction(30)
    lane.transact("none", ["not", "this"]).abort_transaction(30)
    still_open = lane.transact("open", ["d"])
    lane.produce("open", ["e"])
    topics = dict.fromkeys(("both", "none", "open"), 0)
    assert lane.waiting() == {"both": 3}
    # Each offset a micro-batch of its own, of which Spark tells no more than the last few: it keeps a hundred.
    lane.stack.spark.conf.set("spark.sql.streaming.numRecentProgressUpdates", 2)
    try:
        assert lane.land(max_offsets_per_trigger=1) == {**topics, "both": 3}
    finally:
        lane.stack.spark.conf.unset("spark.sql.streaming.numRecentProgressUpdates")
    assert lane.lives("both") == {1: ["a", "b", "c"]}
    assert lane.waiting() == {}

    still_open.commit_transaction(30)
    assert lane.waiting() == {"open": 2}
    assert lane.land() == {**topics, "open": 2}
    assert lane.lives("open") == {1: ["d", "e"]}
    assert lane.land() == topics
    assert lane.waiting() == {}


def test_topics_that_would_share_a_table_are_refused(lane: Lane) -> None:
    for topic in ("daily-rates", "daily_rates", "Cards", "cards", "sound"):
        lane.produce(topic, ["1"])
    result = lane.stack.run("ingestion", environment=lane.environment)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert [line.partition(": none of them is landed. ")[0] for line in lines] == [
        f"{lane.prefix}{one} and {lane.prefix}{other} would land in one table, {lane.schema}.{table}"
        for one, other, table in (("Cards", "cards", "cards"), ("daily-rates", "daily_rates", "daily_rates"))
    ]
    assert all(line.endswith("see docs/runbook.md, 'Two topics, one table'.") for line in lines)
    tables = [row["tableName"] for row in lane.stack.rows(f"show tables in {lane.schema}")]
    assert tables == ["sound"]
    assert lane.landed("sound") == numbered(["1"])


def test_no_topic_yet_is_no_error(lane: Lane) -> None:
    result = lane.stack.run("ingestion", environment=lane.environment)
    assert result.returncode == 0, result.stderr
    assert (result.returncode, result.stdout) == (0, f"No topic begins with {lane.prefix} yet: nothing to land.\n")


@contextlib.contextmanager
def continuous_job(lane: Lane, *, look_for_topics_every: float) -> Iterator[list[str]]:
    """Ingestion in a thread of the test, stopped at the end: the lines that it reports."""
    said: list[str] = []
    stop = threading.Event()
    job = threading.Thread(
        target=ingestion.ingest_continuously,
        args=(lane.stack.spark, lane.config),
        kwargs={
            "every": "1 second",
            "look_for_topics_every": look_for_topics_every,
            "report": said.append,
            "should_stop": stop.is_set,
        },
    )
    job.start()
    try:
        yield said
    finally:
        stop.set()
        job.join(timeout=60)
    assert not job.is_alive()


def test_the_continuous_job_takes_up_a_new_topic(lane: Lane) -> None:
    lane.send("old", ["1"])
    with continuous_job(lane, look_for_topics_every=1) as said:
        wait_for(lambda: lane.landed("old"), "the first topic's message lands")
        lane.send("new", ["a"])
        wait_for(lambda: lane.landed("new"), "the new topic's message lands")
        lane.send("old", ["2"])
        wait_for(lambda: len(lane.landed("old")) == 2, "the first topic still lands")
        lane.delete_topics("old")
        lane.produce("old", ["a", "b", "c"])
        # The query may have taken the third message for the next one: it stands where that would.
        wait_for(lambda: lane.lives("old").get(2) == ["a", "b", "c"], "the topic's new life lands")
    lands = [f"{lane.prefix}{topic} lands in {lane.schema}.{topic}" for topic in ("old", "new", "old")]
    assert [line for line in said if " lands in " in line] == lands
    assert sum(line.startswith(f"{lane.prefix}old was created again") for line in said) == 1
    assert lane.stack.spark.streams.active == []


def test_the_continuous_job_starts_an_ended_query_again(lane: Lane) -> None:
    """Somebody stops the query. A message that is sent afterwards lands."""
    lane.send("stopped", ["1"])
    with continuous_job(lane, look_for_topics_every=5) as said:
        wait_for(lambda: lane.landed("stopped"), "its message lands")
        (query,) = lane.stack.spark.streams.active
        query.stop()
        lane.send("stopped", ["2"])
        wait_for(lambda: lane.landed("stopped") == numbered(["1", "2"]), "the next message lands")
        wait_for(lambda: f"{lane.prefix}stopped lands again" in said, "a line says so")


def test_the_continuous_job_ends_cleanly_when_told_to(lane: Lane) -> None:
    lane.send("one", ["1"])
    job = lane.start("--trigger", "continuous")
    try:
        wait_for(lambda: lane.landed("one"), "the first message lands")
        job.send_signal(signal.SIGTERM)
        said, _ = job.communicate(timeout=30)
    finally:
        job.kill()
    assert (job.returncode, said) == (0, f"{lane.prefix}one lands in {lane.schema}.one\n")
    # Nothing goes on in the server: what comes now waits for the next run.
    lane.send("one", ["2"])
    assert lane.ingest() == {f"{lane.schema}.one": 1}
    assert lane.landed("one") == numbered(["1", "2"])


def test_kafka_that_does_not_answer_is_one_line(lane: Lane) -> None:
    nowhere = f"127.0.0.1:{local.home.free_port()}"
    result = lane.stack.run(
        "ingestion",
        environment={
            **lane.environment,
            "KAFKA_BOOTSTRAP_SERVERS": nowhere,
            "KAFKA_DEFAULT_API_TIMEOUT_MS": "2000",
            "KAFKA_REQUEST_TIMEOUT_MS": "1000",
            "KAFKA_SASL_JAAS_CONFIG": "secret-word",
        },
    )
    assert result.returncode == 1
    assert result.stderr == (
        f"{lane.prefix}*: Kafka does not answer at {nowhere}. Is it up? For the local stack: make up\n"
    )
    assert "secret-word" not in result.stdout


def test_spark_that_does_not_answer_is_one_line(lane: Lane) -> None:
    nowhere = f"sc://localhost:{local.home.free_port()}"
    result = lane.stack.run("ingestion", environment={**lane.environment, "SPARK_REMOTE": nowhere})
    assert result.returncode == 1
    assert result.stderr == f"Spark is not running at {nowhere}. Start the local stack with: make up\n"


def test_nothing_set_is_one_line() -> None:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("KAFKA", "CHECKPOINTS", "SPARK"))
    }
    result = subprocess.run(
        [sys.executable, "-m", "ingestion"], cwd=PROJECT, env=clean, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Not set: KAFKA_BOOTSTRAP_SERVERS, CHECKPOINTS. ")
    assert result.stderr.count("\n") == 1
