"""No row is lost under wrong clocks, after failed runs, or when models run in unusual orders.

The chapters run one after the other, on one table. After each step the table must equal Postgres.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from lanes import Lane, Table, lane
from pipeline import PROJECT, Stack
from pyspark.sql import functions as F
from truth import difference

READINGS = Table(
    name="readings",
    key="id",
    columns={"id": "int", "title": "string", "body": "string"},
    definition="id int primary key, title text, body text",
    histories={"readings_history": None},
)
HISTORY = "readings_history"
MODELS = ("--select", READINGS.base, READINGS.staging, HISTORY)
HOUR = timedelta(hours=1)

# dbt in one process with one manifest, which it parses once. It waits for a line with the words of a run, and says on
# stderr how the run ended.
# As `make live` runs dbt: the project is parsed once, and a run remembers what the last one knew.
MANY_RUNS = """
import sys
from pathlib import Path
from live.builder import Builder
options = sys.argv[1:]
builder = Builder(Path(options[options.index("--project-dir") + 1]), options)
for line in sys.stdin:
    outcome = builder.command("run", *line.split())
    print("ended" if not outcome.troubles else f"failed: {outcome.troubles}", file=sys.stderr, flush=True)
"""


@contextlib.contextmanager
def many_runs(lane: Lane) -> Iterator[Callable[..., None]]:
    """A process that runs dbt again and again: a function that runs it, and fails where dbt does."""
    process = subprocess.Popen(
        [sys.executable, "-c", MANY_RUNS, *lane.of_project],
        cwd=PROJECT,
        env={**lane.stack.clean_environment(), **lane.stack.environment, **lane.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    said = process.stderr

    def run(*words: str) -> None:
        print(*words, file=process.stdin, flush=True)
        ended = said.readline().strip()
        assert ended == "ended", ended

    with process:
        yield run
        process.stdin.close()


@dataclass
class Story:
    """The table's way from Postgres to Silver, and its differences after each step, by the step's name.

    Attributes:
        lane: of the table.
        many_runs: runs dbt in a process that is kept.
        wrong: the differences.
        number: of changes so far.
    """

    lane: Lane
    many_runs: Callable[..., None]
    wrong: dict[str, str] = field(default_factory=dict)
    number: int = 0

    def change(self, *, landed_at: timedelta = timedelta()) -> None:
        """Insert, update and delete a row, and ingest it. Ingestion's clock is ahead by `landed_at`."""
        self.number += 1
        self.lane.sql(
            f"insert into readings values ({100 + self.number}, 'new', 'chapter {self.number}');"
            f"update readings set title = 'changed {self.number}' where id = {1 + self.number % 5};"
            f"delete from readings where id = {10 + self.number}"
        )
        self.lane.wait_until_captured()
        bronze = f"{self.lane.bronze}.readings"
        before = self.lane.stack.value(f"select max(offset) from {bronze}")
        self.lane.ingest()
        if landed_at:
            later = f"ingested_at + make_dt_interval(0, 0, 0, {landed_at.total_seconds()})"
            self.lane.stack.rows(f"update {bronze} set ingested_at = {later} where offset > {before}")

    def run(self, *words: str) -> None:
        self.many_runs(*(words or MODELS))

    def look(self, step: str) -> None:
        self.wrong[step] = self.lane.differences()

    def restore(self, table: str) -> None:
        """Restore a table in Silver to the version before its last."""
        name = f"{self.lane.silver}.{table}"
        version = self.lane.stack.rows(f"describe history {name} limit 1")[0]["version"]
        self.lane.stack.spark.sql(f"restore table {name} to version as of {version - 1}")

    @contextlib.contextmanager
    def broken_staging(self) -> Iterator[None]:
        """Run with a staging model that fails, after the base model was written. It is mended when the block ends."""
        file = self.lane.project.bank / f"{READINGS.staging}.sql"
        sql = file.read_text()
        file.write_text(sql + "\n{% if execute %}{{ no_such_macro() }}{% endif %}\n")
        assert self.lane.dbt("run", *MODELS).returncode == 1
        yield
        file.write_text(sql)


def two_machines(story: Story) -> None:
    """Each machine has its own target folder and its own clock. Two clocks are wrong."""
    target = story.lane.work / "target"
    for name, ahead in {"ahead": HOUR, "behind": -HOUR, "right": timedelta()}.items():
        target.rename(story.lane.work / f"target before {name}")
        story.change()
        story.lane.build("run", *MODELS, ahead=ahead)
        story.look(f"on the machine whose clock is {name}")


def ingestions_clock(story: Story) -> None:
    for name, ahead in {"ahead": HOUR, "behind": -HOUR}.items():
        story.change(landed_at=ahead)
        story.run()
        story.look(f"landed an hour {name}")
    story.change()
    story.run()
    story.look("landed by the right clock")


def a_run_that_fails(story: Story) -> None:
    story.change()
    with story.broken_staging():
        pass
    story.lane.build("retry")
    story.look("dbt retry")


def a_part_of_the_models(story: Story) -> None:
    story.change()
    story.run("--select", READINGS.base)
    story.change()
    story.run("--select", READINGS.staging, HISTORY)
    story.run()
    story.look("one model after the other")


def full_refreshes(story: Story) -> None:
    for model in (READINGS.base, READINGS.staging, HISTORY):
        story.change()
        story.run("--full-refresh", "--select", model)
        story.change()
        story.run()
        story.look(f"of {model}")


def restored_tables(story: Story) -> None:
    story.change()
    story.run()
    for model in (READINGS.staging, HISTORY, READINGS.base):
        story.restore(model)
        story.run()
        story.look(f"of {model}")


def a_base_model_of_fewer_messages(story: Story) -> None:
    """Bronze lost the snapshot's messages of rows that have changed since. These rows then have fewer versions."""
    story.lane.sql("update readings set title = title || '!' where id <= 5")
    story.change()
    story.run()
    story.lane.stack.spark.sql(f"delete from {story.lane.bronze}.readings where partition = 0 and offset < 5").collect()
    before = story.lane.stack.value(f"select count(*) from {story.lane.silver}.{HISTORY}")
    story.run("--full-refresh", "--select", READINGS.base)
    story.run()
    story.look("of fewer messages")
    assert story.lane.stack.value(f"select count(*) from {story.lane.silver}.{HISTORY}") == before - 5


def another_topic_prefix(story: Story) -> None:
    """The new topic's offsets begin at 0, below the old topic's offsets that were read."""
    renamed = replace(story.lane.stack, environment={**story.lane.stack.environment, "TOPIC_PREFIX": "renamed."})
    values = {"c": {"id": 999, "title": "renamed", "body": ""}, "d": None}
    for number, (op, after) in enumerate(values.items()):
        message = {"op": op, "after": after, "source": {"lsn": 2**40 + number, "txId": 2**30 + number, "ts_ms": 0}}
        story.lane.stack.send(f"renamed.{story.lane.name}.readings", [(b'{"id": 999}', json.dumps(message).encode())])
        environment = {**story.lane.environment, "TOPIC_PREFIX": f"renamed.{story.lane.name}."}
        assert renamed.ingest(environment=environment) == {f"{story.lane.bronze}.readings": 1}
        story.run()
        found = [row["id"] for row in story.lane.silver_rows("readings") if row["id"] == 999]
        assert found == ([999] if op == "c" else [])
    story.look("the row is deleted again")


def fifty_runs(story: Story) -> None:
    """With one manifest. Five of the runs find new messages."""
    for number in range(50):
        if number % 10 == 0:
            story.change()
        story.run()
        if number % 10 == 0:
            story.look(f"run {number + 1}")


CHAPTERS: dict[Callable[[Story], None], int] = {
    two_machines: 3,
    ingestions_clock: 3,
    a_run_that_fails: 1,
    a_part_of_the_models: 1,
    full_refreshes: 3,
    restored_tables: 3,
    fifty_runs: 5,
    a_base_model_of_fewer_messages: 1,
    another_topic_prefix: 1,
}


@pytest.fixture(scope="module")
def story(stack: Stack) -> Iterator[Story]:
    with lane(stack, "progress", [READINGS]) as one:
        one.sql("insert into readings select n, 'reading ' || n, 'body' from generate_series(1, 60) as n")
        one.capture()
        one.round()
        assert one.differences() == ""
        with many_runs(one) as runs:
            yield Story(one, runs)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.__name__)
def test_no_row_is_lost(story: Story, chapter: Callable[[Story], None]) -> None:
    story.wrong.clear()
    chapter(story)
    assert len(story.wrong) == CHAPTERS[chapter]
    assert {step: wrong for step, wrong in story.wrong.items() if wrong} == {}


def test_small_files_are_put_together(story: Story) -> None:
    """By the runs whose number is a multiple of `runs_between_compactions`."""
    files = []
    for runs_between_compactions in (1_000_000, 1):
        story.change()
        variables = {"bronze_schema": story.lane.bronze, "runs_between_compactions": runs_between_compactions}
        lane = story.lane
        words = ("dbt.cli.main", "run", *lane.of_project, *MODELS, "--vars", json.dumps(variables))
        done = lane.stack.run(*words, environment=lane.environment)
        assert done.returncode == 0, done.stdout
        (detail,) = lane.stack.rows(f"describe detail {lane.silver}.{READINGS.base}")
        files.append(detail["numFiles"])
    assert files[0] > files[1] == 1


# Messages for Bronze: batch, partition, offset, change. Their LSNs are added to the highest so far.
LATE_RESETS = [
    # A row is created twice, on partition 1; a truncate between them lands after both.
    (1, 1, 0, {"op": "c", "id": 5001, "lsn": 100}),
    (1, 1, 1, {"op": "c", "id": 5001, "lsn": 600}),
    (2, 2, 0, {"op": "t", "id": None, "lsn": 500}),
    # A whole snapshot reads two rows. Its last one, on partition 2, lands before the other, on partition 1.
    (1, 1, 2, {"op": "c", "id": 5002, "lsn": 700}),
    (3, 2, 1, {"op": "r", "id": 5003, "lsn": 900, "snapshot": "last"}),
    (4, 1, 3, {"op": "r", "id": 5002, "lsn": 900, "snapshot": "true"}),
    # A transaction creates a row and truncates. Another is committed before it. Its truncate lands before its row.
    (4, 3, 0, {"op": "t", "id": None, "lsn": 1050, "follows": 1100}),
    (5, 4, 0, {"op": "c", "id": 5004, "lsn": 1000, "follows": 1100}),
]


def test_a_reset_may_land_late(story: Story) -> None:
    """The history then equals a full refresh."""
    bronze = f"{story.lane.bronze}.readings"
    first = story.lane.stack.value(
        f"select max(greatest(_cdc_lsn, _cdc_commit_lsn)) from {story.lane.silver}.{READINGS.base}"
    )
    for batch in range(1, 6):
        for number, partition, offset, change in LATE_RESETS:
            if number == batch:
                places = {name: first + change[name] for name in ("lsn", "follows") if name in change}
                land(story, bronze, partition, offset, {**change, **places})
        story.run()
    query = (
        "select * except (_ingested_at, _run_number, _loaded_at) "
        f"from {story.lane.silver}.{HISTORY} order by id, version_number"
    )
    grown = story.lane.stack.rows(query)
    story.run("--full-refresh", "--select", READINGS.staging, HISTORY)
    assert difference(story.lane.stack.rows(query), grown) == ""
    ours = {key: [row["is_deleted"] for row in grown if row["id"] == key] for key in range(5001, 5005)}
    assert ours == {5001: [False, True, False, True], **{key: [False, True] for key in range(5002, 5005)}}


def land(story: Story, bronze: str, partition: int, offset: int, change: dict[str, Any]) -> None:
    """Append a message to Bronze, with a partition and an offset.

    Args:
        story: of the lane.
        bronze: the table.
        partition: of the topic.
        offset: in the partition.
        change: `op`, `id`, `lsn`, perhaps `snapshot` or `follows`, the newest commit before it, else `lsn` - 1.
    """
    source = {"lsn": change["lsn"], "txId": change["lsn"], "ts_ms": 0, "snapshot": change.get("snapshot")}
    if "snapshot" not in change:
        source["sequence"] = json.dumps([str(change.get("follows", change["lsn"] - 1)), str(change["lsn"])])
    after = None if change["id"] is None else {"id": change["id"], "title": "", "body": ""}
    key = None if after is None else json.dumps({"id": change["id"]})
    value = json.dumps({"op": change["op"], "after": after, "source": source})
    one = story.lane.stack.spark.table(bronze).limit(1)
    message = {"key": key, "value": value, "partition": partition, "offset": offset, "topic_life": 9}
    types = {field.name: field.dataType for field in one.schema}
    columns = {name: F.lit(text).cast(types[name]) for name, text in message.items()}
    one.withColumns(columns).write.format("delta").mode("append").saveAsTable(bronze)
