"""Every message lands once, whatever happens to the job; and what a person must mend is one line.

Each test has a topic prefix, a Bronze schema and checkpoints of its own, beside the bank's.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pipeline import PROJECT, Stack, wait_for
from pyspark.sql import DataFrame

import ingestion
import local.home
from ingestion.job import make_table


@dataclass(frozen=True)
class Lane:
    """Topics of one test, and where they land."""

    stack: Stack
    prefix: str
    schema: str
    checkpoints: Path

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

    def delete_before(self, topic: str, offset: int) -> None:
        """Let Kafka forget a topic's messages before an offset, as its retention does."""
        # DeleteRecords, version 1, by hand (kafka.apache.org/protocol): Kafka's own tool for it is not among the jars.
        name = (self.prefix + topic).encode()
        body = struct.pack(f">hhihih{len(name)}siiqi", 21, 1, 1, -1, 1, len(name), name, 1, 0, offset, 10_000)
        host, port = self.stack.environment["KAFKA_BOOTSTRAP_SERVERS"].split(":")
        with socket.create_connection((host, int(port)), timeout=30) as broker, broker.makefile("rb") as answers:
            broker.sendall(struct.pack(">i", len(body)) + body)
            (length,) = struct.unpack(">i", answers.read(4))
            low_watermark, error = struct.unpack(">qh", answers.read(length)[-10:])
        assert (low_watermark, error) == (offset, 0)


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


def test_no_topic_yet_is_no_error(lane: Lane) -> None:
    result = lane.stack.run("ingestion", environment=lane.environment)
    assert result.returncode == 0, result.stderr
    assert (result.returncode, result.stdout) == (0, f"No topic begins with {lane.prefix} yet: nothing to land.\n")


def test_the_continuous_job_takes_up_a_new_topic(lane: Lane) -> None:
    lane.send("old", ["1"])
    said: list[str] = []
    stop = threading.Event()
    job = threading.Thread(
        target=ingestion.ingest_continuously,
        args=(lane.stack.spark, lane.config),
        kwargs={
            "every": "1 second",
            "look_for_topics_every": 1,
            "report": said.append,
            "should_stop": stop.is_set,
        },
    )
    job.start()
    try:
        wait_for(lambda: lane.landed("old"), "the first topic's message lands")
        lane.send("new", ["a"])
        wait_for(lambda: lane.landed("new"), "the new topic's message lands")
        lane.send("old", ["2"])
        wait_for(lambda: len(lane.landed("old")) == 2, "the first topic still lands")
    finally:
        stop.set()
        job.join(timeout=60)
    assert not job.is_alive()
    assert said == [f"{lane.prefix}{topic} lands in {lane.schema}.{topic}" for topic in ("old", "new")]
    assert lane.stack.spark.streams.active == []


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
