"""The worked examples of Databricks' AUTO CDC come out as its documentation publishes them.

They are the examples of its page on the AUTO CDC APIs. The events are put on topics in the order of their sequence
numbers, as Debezium would put them, and those are their places in the log; the page tells them out of order, which does
not happen to a row on a Kafka partition. Each event also comes again, in the same run and in a later one.

The last tests are of what Spark itself can't do with Delta yet. When one of them fails, read docs/decisions/0027 again.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from lanes import Lane, Table, lane
from pipeline import Stack
from pyspark import pipelines
from pyspark.errors import PySparkException
from pyspark.pipelines.graph_element_registry import graph_element_registration_context
from pyspark.pipelines.spark_connect_graph_element_registry import SparkConnectGraphElementRegistry
from pyspark.pipelines.spark_connect_pipeline import create_dataflow_graph, handle_pipeline_events, start_run
from pyspark.sql import SparkSession

# userId, name, city, operation, sequenceNum.
Event = tuple[int | None, str | None, str | None, str, int]
EVENTS: list[Event] = [
    (124, "Raul", "Oaxaca", "INSERT", 1),
    (123, "Isabel", "Monterrey", "INSERT", 1),
    (125, "Mercedes", "Tijuana", "INSERT", 2),
    (126, "Lily", "Cancun", "INSERT", 2),
    (123, None, None, "DELETE", 6),
    (125, "Mercedes", "Guadalajara", "UPDATE", 6),
    (125, "Mercedes", "Mexicali", "UPDATE", 5),
    (123, "Isabel", "Chihuahua", "UPDATE", 5),
]
TRUNCATE: Event = (None, None, None, "TRUNCATE", 3)

TYPE_1 = [(124, "Raul", "Oaxaca"), (125, "Mercedes", "Guadalajara"), (126, "Lily", "Cancun")]
TYPE_1_TRUNCATED = [(125, "Mercedes", "Guadalajara")]
TYPE_2 = [
    (123, "Isabel", "Monterrey", 1, 5),
    (123, "Isabel", "Chihuahua", 5, 6),
    (124, "Raul", "Oaxaca", 1, None),
    (125, "Mercedes", "Tijuana", 2, 5),
    (125, "Mercedes", "Mexicali", 5, 6),
    (125, "Mercedes", "Guadalajara", 6, None),
    (126, "Lily", "Cancun", 2, None),
]
TYPE_2_WITHOUT_CITY = [
    (123, "Isabel", "Chihuahua", 1, 6),
    (124, "Raul", "Oaxaca", 1, None),
    (125, "Mercedes", "Guadalajara", 2, None),
    (126, "Lily", "Cancun", 2, None),
]

USERS = Table(
    "users",
    key="user_id",
    columns={"user_id": "int", "name": "string", "city": "string"},
    fields={"user_id": "userId"},
    definition='"userId" int primary key, name text, city text',
    histories={"users_history": None, "users_without_city_history": ["name"]},
)
TRUNCATED = dataclasses.replace(USERS, name="users_truncated", histories={})


def messages(events: Sequence[Event]) -> Iterator[tuple[bytes | None, bytes | None]]:
    """The events as Debezium puts them on a topic, in the order of their numbers."""
    for user_id, name, city, operation, number in sorted(events, key=lambda event: event[4]):
        op = {"INSERT": "c", "UPDATE": "u", "DELETE": "d", "TRUNCATE": "t"}[operation]
        key = None if user_id is None else json.dumps({"userId": user_id}).encode()
        after = {"userId": user_id, "name": name, "city": city} if op in "cu" else None
        source = {
            "lsn": number,
            "txId": number,
            "ts_us": number * 1_000_000,
            "sequence": json.dumps([None, str(number)]),
        }
        yield key, json.dumps({"op": op, "before": None, "after": after, "source": source, "ts_ms": number}).encode()
        if op == "d":
            yield key, None


@pytest.fixture(scope="module")
def users(stack: Stack) -> Iterator[Lane]:
    """Both tables after two runs, each with everything up to a sequence number, some of it again and again."""
    with lane(stack, "users", [USERS, TRUNCATED]) as one:
        for upto in (3, 6):
            for table, events in ((USERS, EVENTS), (TRUNCATED, [*EVENTS, TRUNCATE])):
                told = list(messages([event for event in events if event[4] <= upto]))
                # As after a crash of the connector: the last ones again, and all of them.
                one.send(table.name, [*told, *told[-2:], *told])
            # As after a loss of the checkpoints: what was landed already, again.
            shutil.rmtree(one.checkpoints, ignore_errors=True)
            one.ingest()
            one.build("run", "--select", *(f"{table.base}+" for table in (USERS, TRUNCATED)))
        yield one


def rows(users: Lane, query: str) -> list[tuple[object, ...]]:
    return sorted((tuple(row.values()) for row in users.stack.rows(query)), key=str)


@pytest.mark.parametrize(("table", "published"), [(USERS, TYPE_1), (TRUNCATED, TYPE_1_TRUNCATED)])
def test_type_1(users: Lane, table: Table, published: list[tuple[object, ...]]) -> None:
    query = f"select user_id, name, city from {users.silver}.{table.staging} where not is_deleted"
    assert rows(users, query) == sorted(published, key=str)


@pytest.mark.parametrize(
    ("history", "published"), [("users_history", TYPE_2), ("users_without_city_history", TYPE_2_WITHOUT_CITY)]
)
def test_type_2(users: Lane, history: str, published: list[tuple[object, ...]]) -> None:
    """An event's time is its sequence number, in seconds."""
    query = (
        "select user_id, name, city, unix_seconds(valid_from) as start_at, unix_seconds(valid_to) as end_at"
        f" from {users.silver}.{history} where not is_deleted"
    )
    assert rows(users, query) == sorted(published, key=str)


def test_each_event_counts_once(users: Lane) -> None:
    for table, count in ((USERS, len(EVENTS)), (TRUNCATED, len(EVENTS) + 1)):
        landed = users.stack.value(f"select count(*) from {users.bronze}.{table.name}")
        assert users.stack.value(f"select count(*) from {users.silver}.{table.base}") == count < landed


def test_auto_cdc_of_spark_refuses_a_delta_table(users: Lane, tmp_path: Path) -> None:
    changes = f"{users.silver}.{USERS.base}"
    with pytest.raises(PySparkException, match=r"AUTOCDC_TARGET_DOES_NOT_SUPPORT_MERGE.*format: delta"):
        run_auto_cdc(users.stack.spark, changes, f"{users.silver}.users_by_auto_cdc", storage=tmp_path)


def run_auto_cdc(spark: SparkSession, changes: str, target: str, storage: Path) -> None:
    """Let AUTO CDC of Spark's Declarative Pipelines apply all changes to a Delta table.

    Args:
        spark: session.
        changes: a table of changes, with its schema.
        target: the table that the pipeline makes, with its schema.
        storage: an empty folder, for checkpoints.
    """
    schema, _ = target.split(".")
    # A refusal is tried again, after 5 seconds and after 10.
    once = {"spark.sql.pipelines.maxFlowRetryAttempts": "0"}
    graph = create_dataflow_graph(spark, default_catalog="spark_catalog", default_database=schema, sql_conf=once)
    with graph_element_registration_context(SparkConnectGraphElementRegistry(spark, graph)):
        pipelines.create_streaming_table(target, format="delta")
        pipelines.create_auto_cdc_flow(
            target=target,
            source=changes,
            keys=["user_id"],
            sequence_by="_cdc_lsn",
            apply_as_deletes="_cdc_op = 'd'",
            column_list=["user_id", "name", "city"],
        )
    handle_pipeline_events(
        start_run(
            spark,
            graph,
            full_refresh=None,
            full_refresh_all=False,
            refresh=None,
            dry=False,
            storage=storage.as_uri(),
        )
    )


@pytest.mark.parametrize(
    ("output_mode", "refusal"),
    [
        ("append", r"STREAMING_REAL_TIME_MODE.*DeltaSink is not in the sink allowlist"),
        # The one output mode that Real-Time Mode has.
        ("update", "DELTA_UNSUPPORTED_OUTPUT_MODE"),
    ],
)
def test_real_time_mode_refuses_a_delta_table(stack: Stack, tmp_path: Path, output_mode: str, refusal: str) -> None:
    messages = stack.spark.readStream.format("kafka").options(
        **{"kafka.bootstrap.servers": stack.environment["KAFKA_BOOTSTRAP_SERVERS"], "subscribe": "real_time"}
    )
    writer = messages.load().writeStream.format("delta").outputMode(output_mode).trigger(realTime="5 seconds")
    with pytest.raises(PySparkException, match=refusal):
        writer.option("checkpointLocation", str(tmp_path / "checkpoint")).start(str(tmp_path / "table")).stop()
