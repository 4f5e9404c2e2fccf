"""No clock decides what a run reads: under wrong clocks, and in odd orders, no row is lost.

One story on a lane of its own, chapter after chapter. After each the lane's table is what Postgres holds.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from lanes import Lane, Table, lane
from pipeline import PROJECT, Stack

READINGS = Table(
    name="readings",
    key="id",
    columns={"id": "int", "title": "string", "body": "string"},
    definition="id int primary key, title text, body text",
)
MODELS = ("--select", READINGS.base, READINGS.staging)
HOUR = timedelta(hours=1)

# dbt in one process with one manifest, which it parses once. It waits for a line before each run,
# and says on stderr how the run ended.
MANY_RUNS = """
import sys
from dbt.cli.main import dbtRunner
parse, run = ([command, *sys.argv[1:]] for command in ("parse", "run"))
manifest = dbtRunner().invoke(parse).result
for line in sys.stdin:
    result = dbtRunner(manifest=manifest).invoke([*run, "--quiet", "--select", *line.split()])
    print("ended" if result.success else f"failed: {result.exception or result.result}", file=sys.stderr, flush=True)
"""


@dataclass
class Story:
    """The lane, and where its table was wrong after each step, by the step's name."""

    lane: Lane
    wrong: dict[str, str] = field(default_factory=dict)
    number: int = 0

    def change(self, *, landed_at: timedelta = timedelta()) -> None:
        """A row more, a row changed and a row less, landed by a clock that was ahead by some time."""
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

    def run(self, *words: str, ahead: timedelta = timedelta()) -> None:
        self.lane.build("run", *(words or MODELS), ahead=ahead)

    def look(self, step: str) -> None:
        self.wrong[step] = self.lane.differences()

    def restore(self, table: str) -> None:
        """Take back the last change of a table in Silver."""
        name = f"{self.lane.silver}.{table}"
        version = self.lane.stack.rows(f"describe history {name} limit 1")[0]["version"]
        self.lane.stack.spark.sql(f"restore table {name} to version as of {version - 1}")

    @contextlib.contextmanager
    def broken_staging(self) -> Iterator[None]:
        """A staging model that fails after the base model was written, until the block ends."""
        file = self.lane.project.bank / f"{READINGS.staging}.sql"
        sql = file.read_text()
        file.write_text(sql + "\n{% if execute %}{{ no_such_macro() }}{% endif %}\n")
        assert self.lane.dbt("run", *MODELS).returncode == 1
        yield
        file.write_text(sql)


def two_machines(story: Story) -> None:
    """Each has what dbt keeps in a folder of its own, and a clock of its own, which is wrong."""
    target = story.lane.work / "target"
    for name, ahead in {"ahead": HOUR, "behind": -HOUR, "right": timedelta()}.items():
        target.rename(story.lane.work / f"target before {name}")
        story.change()
        story.run(ahead=ahead)
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
    story.run("--select", READINGS.staging)
    story.run()
    story.look("one model after the other")


def full_refreshes(story: Story) -> None:
    for model in (READINGS.base, READINGS.staging):
        story.change()
        story.run("--full-refresh", "--select", model)
        story.change()
        story.run()
        story.look(f"of {model}")


def restored_tables(story: Story) -> None:
    story.change()
    story.run()
    for model in (READINGS.staging, READINGS.base):
        story.restore(model)
        story.run()
        story.look(f"of {model}")


def another_topic_prefix(story: Story) -> None:
    """The offsets of the new topic begin at 0, below those that were read of the old one."""
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


def a_hundred_runs(story: Story) -> None:
    """Of one process with the manifest that it parsed once. Ten of them find something new."""
    process = subprocess.Popen(
        [sys.executable, "-c", MANY_RUNS, *story.lane.of_project],
        cwd=PROJECT,
        env={**story.lane.stack.clean_environment(), **story.lane.stack.environment, **story.lane.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    with process:
        for number in range(100):
            if number % 10 == 0:
                story.change()
            print(*MODELS[1:], file=process.stdin, flush=True)
            said = process.stderr.readline().strip()
            assert said == "ended", said
            if number % 10 == 0:
                story.look(f"run {number + 1}")
        process.stdin.close()


CHAPTERS: dict[Callable[[Story], None], int] = {
    two_machines: 3,
    ingestions_clock: 3,
    a_run_that_fails: 1,
    a_part_of_the_models: 1,
    full_refreshes: 2,
    restored_tables: 2,
    a_hundred_runs: 10,
    another_topic_prefix: 1,
}


@pytest.fixture(scope="module")
def story(stack: Stack) -> Iterator[Story]:
    with lane(stack, "progress", [READINGS]) as one:
        story = Story(one)
        one.sql("insert into readings select n, 'reading ' || n, 'body' from generate_series(1, 60) as n")
        one.capture()
        one.round()
        assert one.differences() == ""
        yield story


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.__name__)
def test_no_row_is_lost(story: Story, chapter: Callable[[Story], None]) -> None:
    story.wrong.clear()
    chapter(story)
    assert len(story.wrong) == CHAPTERS[chapter]
    assert {step: wrong for step, wrong in story.wrong.items() if wrong} == {}
