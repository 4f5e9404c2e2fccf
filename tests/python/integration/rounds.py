"""The bank's life in four rounds: after each, what dbt made of it and what Postgres says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from parity import Databricks
from pipeline import PROJECT, Stack, wait_for
from truth import AUDIT, GOLD, SILVER, Rows, figures

import source

# Not *.sql: dbt would take each file under tests/ for a test of its own.
BANK = Path(__file__).with_name("bank")


@dataclass(frozen=True)
class Round:
    """What there was after one round.

    Attributes:
        expected: every Silver and Gold table as SQL on Postgres gives it.
        actual: as dbt made it: rows that aren't deleted, without the columns that begin with `_`.
        loaded_at: of each table's rows, by all their other values.
    """

    expected: dict[str, Rows]
    actual: dict[str, Rows]
    loaded_at: dict[str, dict[tuple[Any, ...], datetime]]


class Bank:
    """The bank of the tests' stack, and the time that its snapshot took. With Databricks, rounds are run there too."""

    def __init__(self, stack: Stack, databricks: Databricks | None = None) -> None:
        self.stack = stack
        self.databricks = databricks
        self.snapshot_began = self.snapshot_ended = datetime.now(UTC)

    def open(self) -> None:
        """A bank with a past, from which capture begins."""
        source.load_history(
            self.stack.database_url, seed=7, customers=40, days=60, until=datetime.now(UTC) - timedelta(minutes=1)
        )
        self.play("1_snapshot.psql")
        with self.stack.connect() as connection:
            connection.execute(AUDIT)
        self.snapshot_began = datetime.now(UTC)
        source.register_connector(self.stack.environment["CONNECT_URL"])
        self.stack.wait_until_captured()
        self.snapshot_ended = datetime.now(UTC)

    def play(self, file: str) -> None:
        """Run a file's paragraphs, each a transaction."""
        with self.stack.connect() as connection:
            for paragraph in paragraphs(BANK / file):
                # A simple query of several statements is one transaction, but where it says otherwise itself.
                connection.execute(paragraph)

    def round(self, *dbt: str, parity: str | None = None) -> Round:
        """Bring everything through the pipeline, and compare nothing with the bank yet.

        Args:
            dbt: what dbt is to do.
            parity: what the round is called that is run on Databricks too.
        """
        self.stack.wait_until_captured()
        self.stack.ingest()
        self.dbt(*dbt, parity=parity)
        return self.look()

    def dbt(self, *words: str, parity: str | None = None) -> None:
        """Run dbt; under the name of a round also on Databricks, at the same time, and compare the two."""
        if not (self.databricks and parity):
            self.stack.dbt(*words)
            return
        with ThreadPoolExecutor() as pool:
            other = pool.submit(self.databricks.dbt, *words)
            self.stack.dbt(*words)
            other.result()
        self.databricks.compare(parity)

    def look(self) -> Round:
        """What there is now, in Postgres and in what dbt made last."""
        today = datetime.now(UTC).date()
        with self.stack.connect() as connection:
            expected = figures(connection, today=today, snapshot_at=self.snapshot_began)
        actual, loaded_at = {}, {}
        for table in (*SILVER, *GOLD):
            schema, where = ("silver", "where not is_deleted") if table in SILVER else ("gold", "")
            rows = self.stack.rows(f"select * from {schema}.{table} {where}")
            loaded_at[table] = {
                tuple(value for name, value in row.items() if not name.startswith("_")): row["_loaded_at"]
                for row in rows
                if "_loaded_at" in row
            }
            actual[table] = [self.public(row) for row in rows]
        return Round(expected, actual, loaded_at)

    def public(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row's own columns. What the snapshot read has no commit time: any time while it ran stands for one."""
        return {
            name: self.snapshot_began
            if isinstance(value, datetime) and self.snapshot_began <= value <= self.snapshot_ended
            else value
            for name, value in row.items()
            if not name.startswith("_") and name != "is_deleted"
        }


def paragraphs(file: Path) -> Iterator[str]:
    """The SQL between a file's empty lines."""
    for paragraph in file.read_text().split("\n\n"):
        if any(line and not line.startswith("--") for line in paragraph.splitlines()):
            yield paragraph


def reinsert_against_the_log(stack: Stack) -> None:
    """A row whose last change has a smaller place in the log (LSN) than the one before.

    The insert that waits for its key writes its row first; what it waits for inserts and deletes the key once more.
    """
    row = "insert into purchase_trends (id, product, quantity) values (1000200, 'Inserted while it waited', %s)"
    with stack.connect() as first, stack.connect() as second:
        first.execute(row, [1])
        with first.transaction():
            first.execute("delete from purchase_trends where id = 1000200")
            waiting = threading.Thread(target=second.execute, args=(row, [2]))
            waiting.start()
            wait_for(lambda: _waits_for_a_lock(stack), "the second insert waits for the first transaction")
            first.execute(row, [3])
            first.execute("delete from purchase_trends where id = 1000200")
        waiting.join()


def _waits_for_a_lock(stack: Stack) -> bool:
    with stack.connect() as connection:
        query = "select from pg_stat_activity where usename = 'bank_owner' and wait_event_type = 'Lock'"
        return connection.execute(query).fetchone() is not None


def kill(stack: Stack, service: str) -> None:
    """Kill a service with no chance to tidy up, and wait until the supervisor runs it again."""
    pid = stack.service(service)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(
        lambda: stack.service(service)["statename"] == "RUNNING" and stack.service(service)["pid"] != pid,
        f"{service} is started again",
    )


def wait_for_postgres(stack: Stack) -> None:
    def answers() -> bool:
        try:
            stack.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    wait_for(answers, "Postgres answers again")


@dataclass(frozen=True)
class Demos:
    """How a demo that was interrupted ended, and how the one after it did."""

    interrupted: subprocess.CompletedProcess[str]
    whole: subprocess.CompletedProcess[str]


def start_demo(stack: Stack) -> subprocess.Popen[str]:
    """`make demo`, on the tests' own stack."""
    return subprocess.Popen(
        [sys.executable, "-m", "local", "demo"],
        cwd=PROJECT,
        env={
            **stack.clean_environment(),
            "PYTHONUNBUFFERED": "1",
            "DBT_TARGET_PATH": str(stack.work / "target"),
            "DBT_LOG_PATH": str(stack.work / "logs"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> None:
    """Read what a process says up to a line with these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    assert process.stderr is not None
    raise AssertionError(f"It ended before {words!r}: {process.stderr.read()}")
