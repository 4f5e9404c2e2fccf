"""Gold, read only: the queries of `queries/` by name, on whichever target dbt has.

The SQL is Databricks', which Spark knows too. It names tables alone; catalog and schema are the connection's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
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
from dashboard.errors import DashboardError

QUERIES = Path(__file__).with_name("queries")

Parameter = int | str | date


class Store(Protocol):
    """Where queries are run."""

    def query(self, sql: str, parameters: Mapping[str, Parameter]) -> pandas.DataFrame:
        """The rows of a query, in which `:name` stands for a parameter."""


class Gold:
    """The queries, by name."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def query(self, name: str, **parameters: Parameter) -> pandas.DataFrame:
        """The rows of a query. Money is Decimal, times are UTC without saying so.

        Args:
            name: of the file in `queries/` or `queries/metrics/`.
            parameters: what the query has after a colon; more are passed over.

        Raises:
            DashboardError: the store doesn't answer, or has no such table.
        """
        sql, wanted = statement(name)
        rows = self.store.query(sql, {key: parameters[key] for key in wanted})
        rows.attrs.clear()
        for column in rows.select_dtypes("datetimetz"):
            rows[column] = rows[column].dt.tz_convert("UTC").dt.tz_localize(None)
        return rows


@cache
def statement(name: str) -> tuple[str, tuple[str, ...]]:
    """A query's SQL, and the names of its parameters.

    Raises:
        DashboardError: there is no such query.
    """
    for folder in (QUERIES, QUERIES / "metrics"):
        file = folder / f"{name}.sql"
        if file.exists():
            sql = file.read_text()
            return sql, tuple(sorted({key for key, _, _ in _parameters(sql)}))
    raise DashboardError(f"There is no query {name}. Those there are: ls {QUERIES.name}/")


def names() -> list[str]:
    """The names of all queries."""
    return sorted(file.stem for file in QUERIES.rglob("*.sql"))


def _parameters(sql: str) -> list[tuple[str, int, int]]:
    """Each place of a parameter in a query: its name, where it begins, where the next character is."""
    tokens = sqlglot.tokenize(sql, read="databricks")
    return [
        (name.text, colon.start, name.end + 1)
        for colon, name in pairwise(tokens)
        if colon.token_type is TokenType.COLON and name.start == colon.end + 1
    ]


class Spark:
    """The local stack's Spark. One session for all who look, and a new one when the server was started again."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self._session: SparkSession | None = None
        self._lock = Lock()

    def query(self, sql: str, parameters: Mapping[str, Parameter]) -> pandas.DataFrame:
        """The rows of a query.

        Raises:
            DashboardError: Spark doesn't answer, or has no such table.
        """
        try:
            ingestion.require_spark()
            return self._connected().sql(with_literals(sql, parameters)).toPandas()
        except ingestion.IngestionError as error:
            raise DashboardError(str(error)) from error
        except PySparkException as error:
            condition = error.getCondition() or ""
            if condition.startswith(("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND")):
                raise DashboardError("Gold isn't all there yet. Build it with: make ingest build") from error
            self._session = None
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise DashboardError(f"Spark refuses: {first}") from error

    def _connected(self) -> SparkSession:
        with self._lock:
            if self._session is None:
                session = SparkSession.builder.remote(os.environ["SPARK_REMOTE"]).create()
                # Answers are small here: to compile Java for each statement takes longer than to interpret it.
                session.conf.set("spark.sql.codegen.wholeStage", "false")
                session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
                session.conf.set("spark.sql.adaptive.enabled", "false")
                session.conf.set("spark.sql.shuffle.partitions", "1")
                session.sql(f"use {self.schema}").collect()
                self._session = session
            return self._session


def with_literals(sql: str, parameters: Mapping[str, Parameter]) -> str:
    """A query with its parameters written in: a Connect server of Spark 4.2.0 finds no parameter bound.

    A text can't end its literal: sqlglot writes it, by the rules of the engine's own.
    """
    for name, start, end in reversed(_parameters(sql)):
        literal = sqlglot.exp.convert(parameters[name]).sql(dialect="databricks")
        sql = f"{sql[:start]}{literal}{sql[end:]}"
    return sql


class Warehouse:
    """A SQL warehouse of Databricks."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def query(self, sql: str, parameters: Mapping[str, Parameter]) -> pandas.DataFrame:
        """The rows of a query.

        Raises:
            DashboardError: the warehouse refuses it.
        """
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql, dict(parameters))
                return cursor.fetchall_arrow().to_pandas(date_as_object=True)
        except DatabricksError as error:
            raise DashboardError(f"Databricks refuses: {str(error).strip().splitlines()[0]}") from error


def open_gold(environment: Mapping[str, str] = os.environ) -> Gold:
    """Gold of the target that `DBT_TARGET` names: `local`, unless it says otherwise.

    Of another it is told as in profiles.yml: `DATABRICKS_HOST`, `DATABRICKS_HTTP_PATH`, `DATABRICKS_CATALOG` and
    `DBT_SCHEMA`.
    Who reads, Databricks' own SDK finds out: a token, OAuth, or the service principal of a Databricks App
    (docs.databricks.com, "Databricks client unified authentication").

    Raises:
        DashboardError: it isn't said where it is, or nobody answers there.
    """
    target = environment.get("DBT_TARGET", "local")
    prefix = environment.get("DBT_SCHEMA", "" if target in ("local", "prod") else "dev")
    schema = f"{prefix}_gold" if prefix and target != "prod" else "gold"
    if target == "local":
        return Gold(Spark(schema))
    try:
        config = Config()
        return Gold(
            Warehouse(
                databricks.connect(
                    server_hostname=config.hostname,
                    http_path=environment["DATABRICKS_HTTP_PATH"],
                    credentials_provider=lambda: config.authenticate,
                    catalog=environment.get("DATABRICKS_CATALOG", target),
                    schema=schema,
                )
            )
        )
    except KeyError as error:
        raise DashboardError(
            f"It isn't said where the warehouse is. Set in the environment: {error.args[0]}"
        ) from error
    except (ValueError, DatabricksError) as error:
        raise DashboardError(f"Databricks can't be reached: {str(error).strip().splitlines()[0]}") from error
