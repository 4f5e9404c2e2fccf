"""A stack of the benchmark's own, and the commands that are timed on it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from pyspark.sql import SparkSession

import ingestion
import local
import source

PROJECT = Path(__file__).resolve().parents[1]
TOPIC = "bank.public.transactions"

# Plain and in one file, so that bytes_read can follow it.
SPARK_SETTINGS = {
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
    # Spark counts what a task's own thread reads, and Parquet would read in others.
    "spark.hadoop.parquet.hadoop.vectored.io.enabled": "false",
}


class BenchmarkError(Exception):
    """A stage failed; the message says which command, and how its output ended."""


@dataclass(frozen=True)
class Ran:
    """One command that was timed. Times are seconds; `started` is since 1970."""

    started: float
    seconds: float


@dataclass
class Chain:
    """The stack that is up, and what is done with it."""

    home: local.Home
    folder: Path
    environment: dict[str, str]

    @property
    def spark(self) -> SparkSession:
        """This process's own session on the stack's server."""
        return ingestion.spark_session()

    @property
    def event_log(self) -> Path:
        """What Spark writes down of its jobs and tasks."""
        (log,) = (self.folder / "events").iterdir()
        return log

    def config(self) -> ingestion.Config:
        """Where ingestion reads and writes."""
        return ingestion.Config.from_environment(os.environ)

    def connect(self) -> psycopg.Connection[Any]:
        """A connection as the bank's owner, in UTC, each statement a transaction of its own."""
        return psycopg.connect(self.environment["DATABASE_URL"], autocommit=True, options="-c timezone=UTC")

    def capture(self, rows: int = 0) -> None:
        """Wait until the bank's changes are on the topics, allowing for as many rows of a bulk load."""
        source.wait_until_captured(self.environment["DATABASE_URL"], timeout=120 + rows / 4000)

    def ingest(self) -> None:
        """Kafka to Bronze, in this process."""
        ingestion.ingest_available(self.spark, self.config())

    def arrow(self, query: str) -> pa.Table:
        """A query's rows."""
        return self.spark.sql(query).toArrow()

    def value(self, query: str) -> Any:
        """A query's one value, as Spark writes it."""
        return self.spark.sql(query).collect()[0][0]

    def command(self, *words: str, environment: dict[str, str] | None = None, timeout: float = 3600) -> Ran:
        """Run `python -m …` in the project as a command of its own.

        Raises:
            BenchmarkError: it fails; told with the last lines that it printed.
        """
        started, clock = time.time(), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=PROJECT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        seconds = time.monotonic() - clock
        if done.returncode != 0:
            # Java's stack alone is longer than 25 lines. It would push out the error.
            lines = [line for line in done.stdout.strip().splitlines() if not line.strip().startswith("at ")]
            last = "\n".join(lines[-25:])
            raise BenchmarkError(f"python -m {' '.join(words)} ended with {done.returncode}:\n{last}")
        return Ran(started, seconds)

    def target(self, schema: str = "") -> Path:
        """Where dbt writes; one place for each schema, as another one has dbt parse everything again."""
        return self.folder / f"dbt-{schema or 'own'}"

    def dbt_run(self, *words: str, schema: str = "") -> Ran:
        """`dbt run` as a command of its own; a schema is the beginning of schemas of its own."""
        return self.dbt("run", *words, schema=schema)

    def optimize(self, schema: str = "") -> Ran:
        """What `make optimize` does, and Databricks by itself: rows in the order of their keys."""
        return self.dbt("run-operation", "optimize_tables", schema=schema)

    def dbt(self, *words: str, schema: str = "") -> Ran:
        """A command of dbt."""
        target = self.target(schema)
        (target / "logs" / "dbt.log").unlink(missing_ok=True)
        return self.command(
            *("dbt.cli.main", "--no-use-colors", "--log-format-file", "json", "--log-path", str(target / "logs")),
            *(*words, "--target-path", str(target)),
            environment={"DBT_SCHEMA": schema} if schema else {},
        )


@contextlib.contextmanager
def own_chain(*, keep: bool, has_event_log: bool = True) -> Iterator[Chain]:
    """A stack in a new folder, whose bank is still empty. It is gone at the end, its folder too unless it is kept.

    Args:
        keep: whether the folder is kept.
        has_event_log: whether Spark writes down its jobs and tasks, with settings by which its counts are exact.
    """
    with local.temporary_home("bench", keep=keep) as home:
        folder = home.root.parent
        (folder / "events").mkdir()
        settings = {**SPARK_SETTINGS, "spark.eventLog.dir": (folder / "events").as_uri()}
        if has_event_log:
            home.spark_conf.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        environment = local.environment_for(home)
        os.environ.clear()
        os.environ.update(environment)
        try:
            led_to = local.up(home)
            os.environ.update(led_to)
            secrets = home.secrets()
            source.bootstrap(
                local.superuser_url(home), owner_password=secrets["owner"], capture_password=secrets["capture"]
            )
            source.migrate(led_to["DATABASE_URL"])
            yield Chain(home, folder, led_to)
        finally:
            if (session := SparkSession.getActiveSession()) is not None:
                # Without a word to the server, which may be gone: a goodbye is tried for ten minutes.
                session.release_session_on_close = False  # type: ignore[attr-defined]
                session.stop()
