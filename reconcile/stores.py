"""The two stores behind one small face: SQL in, rows out. Where their SQL differs, it is here and in `canonical`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Protocol

import psycopg
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import SparkSession

from reconcile.errors import ReconcileError
from source.capture import TableName

Row = tuple[Any, ...]


class Store(Protocol):
    """Where rows are read from."""

    def rows(self, query: str) -> list[Row]:
        """The rows of a query."""

    def literal(self, text: str) -> str:
        """SQL for a text, whatever is in it."""

    def digest(self, text: str) -> str:
        """SQL for the MD5 of a text's UTF-8, in hexadecimal."""

    def number(self, hexadecimal: str) -> str:
        """SQL for the number that the first 15 of the digits make: 60 bits, of which a sum can't overflow."""


class Bank:
    """Postgres, in one transaction: all that is read is of one moment."""

    def __init__(self, connection: psycopg.Connection, *, day: date | None = None) -> None:
        """Take a connection whose transaction is REPEATABLE READ; `day` is what the marts' SQL calls today."""
        self.connection = connection
        self.day = day

    def rows(self, query: str) -> list[Row]:
        """The rows of a query, whose `%` are doubled."""
        return self.connection.execute(query.encode(), {"today": self.day}).fetchall()

    def columns(self, query: str) -> set[str] | None:
        """The names of a query's columns; None when the bank has not all of the tables and columns that it reads."""
        try:
            with self.connection.transaction():
                cursor = self.connection.execute(
                    f"select * from ({query}) as figures limit 0".encode(), {"today": self.day}
                )
                return {column.name for column in cursor.description or ()}
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            return None

    def types(self, tables: Sequence[TableName]) -> dict[TableName, dict[str, str]]:
        """The columns of those of the tables that exist, and their types as `canonical` names them."""
        rows = self.connection.execute(
            "select nspname, relname, attname,"
            " case when 'e' in (own.typtype, base.typtype) then 'enum' else coalesce(base.typname, own.typname) end"
            " from pg_attribute"
            " join pg_class on pg_class.oid = attrelid"
            " join pg_namespace on pg_namespace.oid = relnamespace"
            " join pg_type as own on own.oid = atttypid"
            " left join pg_type as base on base.oid = own.typbasetype"
            " where (nspname, relname) in (select * from unnest(%s::text[], %s::text[])) and relkind in ('r', 'p')"
            " and attnum > 0 and not attisdropped",
            [[table.schema for table in tables], [table.name for table in tables]],
        )
        types: dict[TableName, dict[str, str]] = {}
        for schema, table, column, data_type in rows:
            types.setdefault(TableName(schema, table), {})[column] = data_type
        return types

    def literal(self, text: str) -> str:
        """By its bytes, so that nothing in it needs an escape."""
        return f"convert_from('\\x{text.encode().hex()}', 'UTF8')"

    def digest(self, text: str) -> str:
        """Of UTF-8, whatever the database's encoding is."""
        return f"md5(convert_to({text}, 'UTF8'))"

    def number(self, hexadecimal: str) -> str:
        """Postgres sums bigints as numeric, which has no end."""
        return f"('x' || left({hexadecimal}, 15))::bit(60)::bigint"

    @staticmethod
    def quoted(name: str) -> str:
        """A name as SQL writes it, in a query that has parameters."""
        return '"' + name.replace('"', '""').replace("%", "%%") + '"'


class Lake:
    """Spark, wherever it runs: only `sql` is asked of it."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark

    def rows(self, query: str) -> list[Row]:
        """The rows of a query.

        Raises:
            ReconcileError: Spark refuses it, such as for a table that isn't there.
        """
        try:
            return [tuple(row) for row in self.spark.sql(query).collect()]
        except PySparkException as error:
            raise ReconcileError(_explained(error)) from error

    def columns(self, relation: str) -> set[str]:
        """The names of a table's columns.

        Raises:
            ReconcileError: there is no such table.
        """
        try:
            return set(self.spark.sql(f"select * from {relation}").columns)
        except PySparkException as error:
            raise ReconcileError(_explained(error)) from error

    def literal(self, text: str) -> str:
        """By its bytes; a Connect server of 4.2.0 finds no named parameter bound."""
        return f"cast(x'{text.encode().hex()}' as string)"

    def digest(self, text: str) -> str:
        """Spark's texts are UTF-8."""
        return f"md5({text})"

    def number(self, hexadecimal: str) -> str:
        """As Bank's; a decimal, as a sum of bigints would overflow. Spark gives the sum ten digits more."""
        return f"cast(conv(left({hexadecimal}, 15), 16, 10) as decimal(19, 0))"

    @staticmethod
    def quoted(name: str) -> str:
        """A name as SQL writes it."""
        return "`" + name.replace("`", "``") + "`"


def _explained(error: PySparkException) -> str:
    """One line on why Spark refuses a query."""
    named = error.getMessageParameters() or {}
    condition = error.getCondition() or ""
    if isinstance(error, AnalysisException) and condition.startswith("TABLE_OR_VIEW_NOT_FOUND"):
        return f"There is no table {named.get('relationName', '')} yet. Build it with: dbt run"
    if isinstance(error, AnalysisException) and condition.startswith("UNRESOLVED_COLUMN"):
        return f"A table has no column {named.get('objectName', '')}, which its model declares. Build it with: dbt run"
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"Spark refuses: {first}"
