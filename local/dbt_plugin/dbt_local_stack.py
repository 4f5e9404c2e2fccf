"""Leads dbt to the embedded stack, so that plain `dbt run` works, and says in one line what can't be run.

dbt loads every importable module whose name begins with `dbt_` and starts the plugins it lists (dbt.plugins.manager).
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

from dbt.adapters.spark import session as dbt_spark
from dbt.flags import get_flags
from dbt.plugins.manager import dbt_hook, dbtPlugin
from dbt_common.events.event_manager_client import add_callback_to_manager
from dbt_common.exceptions import DbtRuntimeError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from ingestion import (
    IngestionError,
    give_up_now,
    leave_writer_lock,
    require_spark,
    spark_ended,
    spark_session,
    take_writer_lock,
    told_that_spark_ended,
)
from local import Home

# Bytes of tables up to which compiling Java for each statement takes longer than what the compiled code saves. Without,
# a build of 5,000 messages takes 0.7 of the time, one of 120,000 takes 0.9, one of a million 2.2 times as long.
SMALL = 50_000_000

# Commands that work without a warehouse.
OFFLINE = {"parse", "list", "ls", "deps", "clean", "init", "serve"}

# Commands that write Silver and Gold. Others read, and may run beside them.
WRITING = {"run", "build", "seed", "snapshot", "run-operation", "retry", "clone"}

# Names that Silver has for itself, beside those that begin with `_cdc_` (macros/messages/columns.sql).
OWN = {"is_deleted", "_ingested_at", "_run_number", "_loaded_at"}


class LocalStack(dbtPlugin):
    """Leads target `local` to the stack; what the project declares is looked at for every target."""

    def initialize(self) -> None:
        """Fill in what leads to the stack, where the environment doesn't say it, and see that Spark answers.

        Does nothing for other targets than `local`.

        Raises:
            DbtRuntimeError: the command needs Spark, and it isn't known where it is or nothing listens there.
        """
        flags = get_flags()  # type: ignore[no-untyped-call]
        if (getattr(flags, "TARGET", None) or os.environ.get("DBT_TARGET", "local")) != "local":
            return
        for name, value in Home.from_environment().read_env().items():
            os.environ.setdefault(name, value)
        # dbt-spark asks for Hive's catalog with each statement; a Connect server has its catalog from its start.
        warnings.filterwarnings("ignore", message="Failed to set spark.sql.catalogImplementation")
        command = getattr(flags, "WHICH", None)
        if command in OFFLINE:
            return
        try:
            require_spark()
            session = spark_session()
            if command in WRITING:
                be_the_only_writer(command, session)
        except IngestionError as error:
            raise DbtRuntimeError(str(error)) from error
        if is_small(Home.from_environment()):
            interpret_statements(session)
        end_with_the_server()

    @dbt_hook  # type: ignore[untyped-decorator]
    def get_manifest_artifacts(self, manifest: Any) -> dict[str, Any]:
        """Look at what was parsed; there is nothing to write.

        Raises:
            DbtRuntimeError: a base model declares a column by a name that no column of the bank's can have in Silver.
        """
        for node in manifest.nodes.values():
            if node.resource_type == "model" and "decode_changes(" in node.raw_code:
                refuse_names(node)
        return {}


def refuse_names(base: Any) -> None:
    """See that each column of a base model has a name of its own that dbt can write, before anything runs.

    What the pipeline adds is described in the same list: such a name is the bank's if `meta` says its `field`. The
    macro `declared_columns` refuses the same and, as it knows what the pipeline adds, any other `_cdc_` name.

    Raises:
        DbtRuntimeError: a name is one of Silver's, differs from another one by capitals alone, or has a backtick.
    """
    seen = set[str]()
    for name, column in base.columns.items():
        lower, field = name.lower(), column.config.meta.get("field")
        problem = ""
        if lower == "is_deleted" or (field is not None and (lower in OWN or lower.startswith("_cdc_"))):
            problem = "is a name of Silver's own"
        elif lower in seen:
            problem = "is there twice, as Spark ignores capitals"
        elif "`" in name:
            problem = "has a backtick, which dbt does not quote"
        if problem:
            raise DbtRuntimeError(
                f"{base.name}: {name} {problem}. Declare the column by another name, with the one it has in the bank: "
                f"{{name: bank_{name.replace('`', '')}, config: {{meta: {{field: {field or name}}}}}}}"
            )
        seen.add(lower)


def is_small(home: Home) -> bool:
    """Whether the newest versions of the stack's tables are small. Without their files here, they may be large."""
    logs = list((home.root / "warehouse").glob("*/*/_delta_log"))
    return bool(logs) and sum(table_bytes(log) for log in logs) < SMALL


def table_bytes(log: Path) -> int:
    """Bytes of a Delta table's newest version, by the checksum file of its last commit; 0 if there is none."""
    newest = max((file for file in log.iterdir() if file.suffix == ".crc" and file.stem.isdigit()), default=None)
    return int(json.loads(newest.read_text())["tableSizeBytes"]) if newest else 0


def interpret_statements(session: SparkSession) -> None:
    """Have Spark plan this process's statements for few rows; dbt-spark takes the same session.

    Compiling Java for a statement takes longer than the compiled code saves. A merge reads its source twice, unless it
    keeps the source's rows.
    """
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    session.conf.set("spark.databricks.delta.merge.materializeSource", "all")


def be_the_only_writer(command: str, session: SparkSession) -> None:
    """Take the lock of Silver and Gold, until the command has ended.

    Raises:
        IngestionError: another process has it.
    """
    lock = take_writer_lock(os.environ.get("DBT_SCHEMA") or "silver", f"dbt {command}", session)

    def leave(event: Any) -> None:
        nonlocal lock
        if event.info.name == "CommandCompleted":
            leave_writer_lock(lock)
            lock = None

    add_callback_to_manager(leave)


class Cursor(dbt_spark.Cursor):
    """dbt-spark's cursor, with an error of one line, and an end of the run, when the Spark server is gone."""

    def execute(self, sql: str, *parameters: Any) -> None:
        """Run a statement."""
        with saying_that_spark_is_gone():
            super().execute(sql, *parameters)

    def fetchall(self) -> Any:
        """All rows."""
        with saying_that_spark_is_gone():
            return super().fetchall()

    def fetchone(self) -> Any:
        """The next row."""
        with saying_that_spark_is_gone():
            return super().fetchone()


@contextlib.contextmanager
def saying_that_spark_is_gone() -> Any:
    """Turn what PySpark raises without its server into one line, and let dbt skip what is left to run."""
    try:
        yield
    except PySparkException as error:
        if not spark_ended(error):
            raise
        # dbt reads the flag after each model. Every other model would fail for the same reason.
        object.__setattr__(get_flags(), "FAIL_FAST", True)  # type: ignore[no-untyped-call]
        raise DbtRuntimeError(told_that_spark_ended()) from None


def cancel(connection: Any) -> None:
    """Stop this process's statements on the server, as Ctrl-C asks each connection to; dbt-spark's does nothing."""
    session = SparkSession.builder.getOrCreate()
    give_up_now(session)
    with contextlib.suppress(PySparkException):
        session.interruptAll()


def end_with_the_server() -> None:
    """Have dbt-spark's sessions end when they are told to, and when their server has ended."""
    vars(dbt_spark)["Cursor"] = Cursor
    setattr(dbt_spark.SessionConnectionWrapper, "cancel", cancel)  # noqa: B010 (mypy knows no other way)


plugins = [LocalStack]
