"""The whole chain for tests: a stack of their own, and what one does with it, each stage as a user runs it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
from dbt_forks import run_dbt
from pyspark.sql import SparkSession

import local
import source

PROJECT = Path(__file__).resolve().parents[2]

Commits = dict[str, tuple[int, str]]

# A few rows at a time: to compile Java for each statement takes longer. What users have is in test_demo.
SPARK_CONF = """
spark.sql.codegen.wholeStage false
spark.sql.codegen.factoryMode NO_CODEGEN
"""


@dataclass
class Stack:
    """A stack that is up, and how a test uses it."""

    home: local.Home
    work: Path
    environment: dict[str, str] = field(default_factory=dict)
    _spark: SparkSession | None = None

    @property
    def database_url(self) -> str:
        return self.environment["DATABASE_URL"]

    def up(self) -> None:
        self.environment = local.up(self.home)

    def down(self) -> None:
        self.forget_spark()
        local.down(self.home)

    def forget_spark(self) -> None:
        """Leave the session without a word to the server, which may be gone: a goodbye is tried for ten minutes."""
        if self._spark is not None:
            self._spark.release_session_on_close = False
            self._spark.stop()
            self._spark = None

    def clean_environment(self) -> dict[str, str]:
        """This process's environment, without what leads to a stack, and with this stack's folder."""
        return local.environment_for(self.home)

    def run(
        self,
        *words: str,
        environment: Mapping[str, str] | None = None,
        timeout: float = 300,
        folder: Path = PROJECT,
        ahead: timedelta = timedelta(),
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m …` in the project or a copy of it, with what leads to the stack in its environment.

        dbt's clock can be ahead of the machine's by some time.
        """
        environment = {**self.clean_environment(), **self.environment, **(environment or {})}
        if words[0] == "dbt.cli.main":
            return run_dbt(words[1:], folder=folder, environment=environment, timeout=timeout, ahead=ahead)
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ingest(self, *options: str, environment: Mapping[str, str] | None = None) -> dict[str, int]:
        """Run ingestion and return how many messages of each Bronze table it says it landed."""
        result = self.run("ingestion", *options, environment=environment)
        assert result.returncode == 0, result.stdout + result.stderr
        lines = [line for line in result.stdout.splitlines() if " messages from " in line]
        return {line.split(":")[0]: int(line.split()[1]) for line in lines}

    def dbt(
        self,
        *words: str,
        work: Path | None = None,
        folder: Path = PROJECT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Run dbt, which must succeed; what it writes goes into the stack's folder, or another."""
        work = work or self.work
        result = self.run(
            *("dbt.cli.main", "--no-use-colors", "--log-path", str(work / "logs")),
            *words,
            *("--target-path", str(work / "target")),
            environment=environment,
            timeout=600,
            folder=folder,
        )
        assert result.returncode == 0, result.stdout + result.stderr

    def connect(self, url: str | None = None) -> psycopg.Connection[Any]:
        """A connection as the bank's owner, in UTC, each statement a transaction of its own."""
        return psycopg.connect(url or self.database_url, autocommit=True, options="-c timezone=UTC")

    def wait_until_captured(self) -> None:
        source.wait_until_captured(self.database_url)

    @property
    def spark(self) -> SparkSession:
        """A session of the tests' own on the stack's Spark server; a new one when the server was started again."""
        if self._spark is None:
            self._spark = self.new_session()
        return self._spark

    def new_session(self) -> SparkSession:
        """A session on the stack's Spark server, for whoever asks; PySpark takes the newest for the process's own."""
        token = self.environment["SPARK_CONNECT_AUTHENTICATE_TOKEN"]
        return SparkSession.builder.remote(f"{self.environment['SPARK_REMOTE']}/;token={token}").create()

    def rows(self, query: str) -> list[dict[str, Any]]:
        """A query's rows with Decimals, dates, and times that know they are UTC."""
        return self.spark.sql(query).toArrow().to_pylist()

    def value(self, query: str) -> Any:
        (row,) = self.rows(query)
        (value,) = row.values()
        return value

    def send(self, topic: str, messages: Sequence[tuple[bytes | None, bytes | None]]) -> None:
        """Put messages on a topic, in order; each is a key and a value."""
        # A bytearray, as Spark Connect takes bytes for numbers.
        rows = [
            (number, *(None if part is None else bytearray(part) for part in message))
            for number, message in enumerate(messages)
        ]
        (
            self.spark.createDataFrame(rows, "number int, key binary, value binary")
            .coalesce(1)
            .sortWithinPartitions("number")
            .select("key", "value")
            .write.format("kafka")
            .option("kafka.bootstrap.servers", self.environment["KAFKA_BOOTSTRAP_SERVERS"])
            .option("topic", topic)
            .save()
        )

    def newest_commits(self, *schemas: str) -> Commits:
        """Version and operation of the newest commit of each Delta table in some schemas."""
        commits = {}
        for schema in schemas:
            views = {row["viewName"] for row in self.rows(f"show views in {schema}")}
            for row in self.rows(f"show tables in {schema}"):
                if row["tableName"] not in views:
                    name = f"{schema}.{row['tableName']}"
                    newest = self.rows(f"describe history {name} limit 1")[0]
                    commits[name] = (newest["version"], newest["operation"])
        return commits

    def service(self, name: str) -> dict[str, Any]:
        """What the supervisor knows of a service: `pid`, `statename` and more."""
        (one,) = (one for one in local.status(self.home) if one["name"] == name)
        return one


@contextlib.contextmanager
def own_stack(prepare: Callable[[Stack], None] | None = None) -> Iterator[Stack]:
    """A stack in a new folder, with the bank's database and roles but no tables; nothing of it is left running.

    Args:
        prepare: called when the services run, before the bank is made.
    """
    with local.temporary_home("tests", keep=bool(os.environ.get("KEEP_TEST_STACK"))) as home:
        home.spark_conf.write_text(SPARK_CONF)
        stack = Stack(home, work=home.root.parent)
        try:
            stack.up()
            if prepare is not None:
                prepare(stack)
            secrets = home.secrets()
            source.bootstrap(
                local.superuser_url(home), owner_password=secrets["owner"], capture_password=secrets["capture"]
            )
            yield stack
        finally:
            stack.forget_spark()
    assert processes(home) == [], "`down` left these running"


def processes(home: local.Home) -> list[str]:
    """The command lines of all processes that speak of a stack's folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if str(home.root) in command and process.pid != os.getpid():
                found.append(command)
    return found


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait until the condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.1)
    raise AssertionError(f"Not within {seconds:.0f} seconds: {what}")
