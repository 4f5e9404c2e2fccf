"""Gold, read only: the queries of `queries/` by name, on whichever target dbt has.

The SQL is Databricks', which Spark knows too. It names tables alone; catalog and schema are the connection's.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Protocol

import pandas
import sqlglot
from databricks import sql as databricks
from databricks.sdk.core import Config
from databricks.sql.client import Connection
from databricks.sql.exc import Error as DatabricksError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from sqlglot import TokenType

import ingestion
from dashboard.errors import DashboardError, NotAllowedError, NotBuiltError, one_line
from dashboard.published import NEWEST, Publication

QUERIES = Path(__file__).with_name("queries")

# Seconds.
DEFINITIONS_KEPT = 60.0
# The beginnings of error conditions (docs.databricks.com, "Error conditions").
NOT_ALLOWED = "INSUFFICIENT_PERMISSIONS"
NOT_FOUND = ("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND")

Parameter = int | str | date


class Store(Protocol):
    """Where queries are run."""

    def rows(self, query: str) -> pandas.DataFrame:
        """The rows of a query."""


class Gold:
    """The queries, by name."""

    def __init__(self, store: Store, schema: str) -> None:
        """Read from a store.

        Args:
            store: where queries are run; tables without a schema are Gold's.
            schema: Gold's, with its catalog on Databricks, as dbt writes it.
        """
        self.store = store
        self.schema = schema
        self._newest_run = 0
        self._may_read_silver = True
        self._definitions: dict[str, tuple[float, str | None]] = {}

    def published(self) -> Publication | None:
        """What the last run published; None before the first, as after an upgrade.

        Raises:
            DashboardError: the store doesn't answer.
        """
        try:
            rows = self._rows(NEWEST.format(known=self._newest_run))
            if rows.empty and self._newest_run:
                # The table was made again.
                rows = self._rows(NEWEST.format(known=0))
        except NotBuiltError:
            return None
        if rows.empty:
            return None
        rows = rows[rows.run_number == rows.run_number.max()]
        self._newest_run = int(rows.run_number.iloc[0])
        return Publication(
            run_number=self._newest_run,
            published_at=rows.published_at.iloc[0].to_pydatetime(),
            versions={entry["key"]: int(entry["value"]) for entries in rows.table_versions for entry in entries},
            marts=frozenset(rows.mart),
        )

    def query(self, name: str, publication: Publication | None = None, **parameters: Parameter) -> pandas.DataFrame:
        """The rows of a query. Money is Decimal, times are UTC without saying so.

        Args:
            name: of the file in `queries/` or `queries/metrics/`.
            publication: read the marts as this run left them; None as they are now, perhaps in the middle of a run.
            parameters: what the query has after a colon; more are passed over.

        Raises:
            DashboardError: the store doesn't answer, or has no such table.
        """
        return self.sql(with_literals(statement(name), parameters), publication)

    def sql(self, sql: str, publication: Publication | None = None) -> pandas.DataFrame:
        """The rows of a query of one's own; see `query`.

        Who may read Gold's views alone, and not Silver's tables behind them, gets the views as they are.
        """
        if publication is not None and self._may_read_silver:
            try:
                return self._rows(publication.as_published(sql, self.schema, self._definition))
            except NotAllowedError:
                self._may_read_silver = False
        return self._rows(sql)

    def _definition(self, name: str) -> str | None:
        """The SQL of a view; None of what is no view. Kept for a minute, as it changes when dbt's project does."""
        known = self._definitions.get(name)
        if known is None or time.monotonic() - known[0] > DEFINITIONS_KEPT:
            described = json.loads(self._rows(f"describe extended {name} as json").iloc[0, 0])
            known = self._definitions[name] = (time.monotonic(), described.get("view_text"))
        return known[1]

    def _rows(self, sql: str) -> pandas.DataFrame:
        rows = self.store.rows(sql)
        rows.attrs.clear()
        for column in rows.select_dtypes("datetimetz"):
            rows[column] = rows[column].dt.tz_convert("UTC").dt.tz_localize(None)
        return rows


@cache
def statement(name: str) -> str:
    """A query's SQL.

    Raises:
        DashboardError: there is no such query.
    """
    for folder in (QUERIES, QUERIES / "metrics"):
        if (file := folder / f"{name}.sql").exists():
            return file.read_text()
    raise DashboardError(f"There is no query {name}. Those there are: ls dashboard/{QUERIES.name}/")


def names() -> list[str]:
    """The names of all queries."""
    return sorted(file.stem for file in QUERIES.rglob("*.sql"))


def parameters_of(sql: str) -> list[tuple[str, int, int]]:
    """Each place of a parameter in a query: its name, where it begins, where the next character is."""
    tokens = sqlglot.tokenize(sql, read="databricks")
    return [
        (name.text, colon.start, name.end + 1)
        for colon, name in pairwise(tokens)
        if colon.token_type is TokenType.COLON and name.start == colon.end + 1
    ]


def with_literals(sql: str, parameters: Mapping[str, Parameter]) -> str:
    """A query with its parameters written in: a Connect server of Spark 4.2.0 finds no parameter bound.

    The same for Databricks, so that what is tested here is what runs there. A text can't end its literal: sqlglot
    writes it, by the rules of the engine's own.
    """
    for name, start, end in reversed(parameters_of(sql)):
        literal = sqlglot.exp.convert(parameters[name]).sql(dialect="databricks")
        sql = f"{sql[:start]}{literal}{sql[end:]}"
    return sql


class Spark:
    """The local stack's Spark. One session for all who look, and a new one when the server was started again."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self._session: SparkSession | None = None
        self._lock = Lock()

    def rows(self, query: str) -> pandas.DataFrame:
        """The rows of a query.

        Raises:
            DashboardError: Spark doesn't answer, or has no such table.
        """
        try:
            ingestion.require_spark()
            return self._connected().sql(query).toPandas()
        except ingestion.IngestionError as error:
            raise DashboardError(str(error)) from error
        except PySparkException as error:
            condition = error.getCondition() or ""
            if condition.startswith(NOT_FOUND):
                raise NotBuiltError("Gold isn't all there yet. Build it with: make ingest build") from error
            self._session = None
            raise DashboardError(f"Spark refuses: {one_line(error)}") from error

    def _connected(self) -> SparkSession:
        with self._lock:
            if self._session is None:
                session = ingestion.new_spark_session()
                # Answers are small here: to compile Java for each statement takes longer than to interpret it.
                session.conf.set("spark.sql.codegen.wholeStage", "false")
                session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
                session.conf.set("spark.sql.adaptive.enabled", "false")
                session.conf.set("spark.sql.shuffle.partitions", "1")
                session.sql(f"use {self.schema}").collect()
                self._session = session
            return self._session


class Warehouse:
    """A SQL warehouse of Databricks. Threads may not share a connection, so each query takes one that is idle."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._idle: SimpleQueue[Connection] = SimpleQueue()

    def rows(self, query: str) -> pandas.DataFrame:
        """The rows of a query.

        Raises:
            DashboardError: Databricks can't be reached, or refuses the query.
        """
        try:
            # Closed, whatever fails; one that did not fail is idle again instead.
            with contextlib.ExitStack() as failed:
                connection = self._take()
                failed.callback(connection.close)
                with connection.cursor() as cursor:
                    rows: pandas.DataFrame = cursor.execute(query).fetchall_arrow().to_pandas(date_as_object=True)
                failed.pop_all()
            self._idle.put(connection)
            return rows
        except (OSError, ValueError, DatabricksError) as error:
            if any(condition in str(error) for condition in NOT_FOUND):
                raise NotBuiltError(f"Databricks refuses: {one_line(error)}") from error
            if NOT_ALLOWED in str(error):
                raise NotAllowedError(f"Databricks refuses: {one_line(error)}") from error
            raise DashboardError(f"Databricks refuses: {one_line(error)}") from error

    def _take(self) -> Connection:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._connect()


def open_gold(environment: Mapping[str, str] = os.environ) -> Gold:
    """Gold of the target that `DBT_TARGET` names: `local`, unless it says otherwise.

    Of another it is told as in profiles.yml: `DATABRICKS_HOST`, `DATABRICKS_HTTP_PATH`, `DATABRICKS_CATALOG` and
    `DBT_SCHEMA`.
    Who reads, Databricks' own SDK finds out: a token, OAuth, or the service principal of a Databricks App
    (docs.databricks.com, "Databricks client unified authentication").

    Raises:
        DashboardError: it isn't said where it is.
    """
    target = environment.get("DBT_TARGET", "local")
    prefix = environment.get("DBT_SCHEMA", "" if target in ("local", "prod") else "dev")
    schema = f"{prefix}_gold" if prefix and target != "prod" else "gold"
    if target == "local":
        return Gold(Spark(schema), schema)
    if missing := [name for name in ("DATABRICKS_HOST", "DATABRICKS_HTTP_PATH") if not environment.get(name)]:
        raise DashboardError(f"It isn't said where the warehouse is. Set in the environment: {', '.join(missing)}")

    catalog = environment.get("DATABRICKS_CATALOG", target)

    def connect() -> Connection:
        config = Config()
        return databricks.connect(
            server_hostname=config.hostname,
            http_path=environment["DATABRICKS_HTTP_PATH"],
            credentials_provider=lambda: config.authenticate,
            catalog=catalog,
            schema=schema,
        )

    return Gold(Warehouse(connect), f"{catalog}.{schema}")
