"""What Unity Catalog keeps beside the tables and answers in `information_schema`, in an SQLite database in memory.

Relations and columns are read from Spark when they are asked for. What Spark without a workspace has no place for is
kept as it was said: tags, primary keys, grants. Nothing enforces these here; that a second run finds them
is what dbt relies on.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import sqlglot
from sqlglot import exp

from warehouse.results import texts

# The tables of information_schema that dbt-databricks reads, and of their columns those it names.
TABLES = """
create table tables (
    table_catalog, table_schema, table_name, table_type, data_source_format, table_owner, comment, last_altered
);
create table columns (
    table_catalog, table_schema, table_name, column_name, ordinal_position, is_nullable, full_data_type, comment
);
create table views (table_catalog, table_schema, table_name, view_definition);
create table table_tags (catalog_name, schema_name, table_name, tag_name, tag_value);
create table column_tags (catalog_name, schema_name, table_name, column_name, tag_name, tag_value);
create table column_masks (table_catalog, table_schema, table_name, column_name, mask_name, using_columns);
create table row_filters (table_catalog, table_schema, table_name, filter_name, target_columns);
create table table_constraints (
    constraint_catalog, constraint_schema, constraint_name, table_catalog, table_schema, table_name, constraint_type
);
create table key_column_usage (
    constraint_catalog, constraint_schema, constraint_name, table_catalog, table_schema, table_name, column_name,
    ordinal_position
);
create table referential_constraints (
    constraint_catalog, constraint_schema, constraint_name,
    unique_constraint_catalog, unique_constraint_schema, unique_constraint_name
);
create table grants (kind, name, principal, privilege);
"""


@dataclass(frozen=True)
class Name:
    """A table's name in three parts."""

    catalog: str
    schema: str
    table: str


class Unity:
    """One metastore, shared by all sessions of a warehouse."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.executescript(TABLES)

    def query(self, statement: exp.Expression) -> pa.Table:
        """Answer a query of `information_schema`."""
        for table in statement.find_all(exp.Table):
            table.set("catalog", None)
            table.set("db", None)
        sql = statement.sql(dialect="sqlite")
        with self._lock:
            cursor = self._database.execute(sql)
            return texts([column[0] for column in cursor.description], cursor.fetchall())

    def replace(self, table: str, where: dict[str, str], rows: Iterable[dict[str, object]]) -> None:
        """Put rows in the place of those that have certain values."""
        condition = " and ".join(f"{column} = ?" for column in where)
        with self._lock:
            self._database.execute(f"delete from {table} where {condition}", list(where.values()))
            for row in rows:
                values = {**where, **row}
                marks = ", ".join("?" * len(values))
                self._database.execute(
                    f"insert into {table} ({', '.join(values)}) values ({marks})", list(values.values())
                )

    def rows(self, table: str, where: dict[str, str], columns: list[str]) -> list[tuple[object, ...]]:
        """Rows that have certain values, in the order they were put in."""
        condition = " and ".join(f"{column} = ?" for column in where)
        with self._lock:
            query = f"select {', '.join(columns)} from {table} where {condition} order by rowid"
            return self._database.execute(query, list(where.values())).fetchall()

    def forget_constraints(self, name: Name, constraint: str | None = None) -> None:
        """A table's keys end with the table, and when it is made anew."""
        of_table = {"table_catalog": name.catalog, "table_schema": name.schema, "table_name": name.table}
        of_constraint = {"constraint_name": constraint} if constraint else {}
        for (one,) in self.rows("table_constraints", {**of_table, **of_constraint}, ["constraint_name"]):
            key = {"constraint_catalog": name.catalog, "constraint_schema": name.schema, "constraint_name": str(one)}
            for table in ("table_constraints", "key_column_usage", "referential_constraints"):
                self.replace(table, key, [])

    def forget_table(self, name: Name) -> None:
        """All that is known of a table, tags too, ends with the table."""
        self.forget_constraints(name)
        for table in ("table_tags", "column_tags"):
            self.replace(
                table, {"catalog_name": name.catalog, "schema_name": name.schema, "table_name": name.table}, []
            )


def parse(sql: str) -> exp.Expression:
    """A query in Databricks' SQL."""
    return sqlglot.parse_one(sql, dialect="databricks")


def literals(statement: exp.Expression, column: str) -> set[str]:
    """The values that a query's conditions name for a column, in lower case."""
    return {
        equality.expression.this.lower()
        for equality in statement.find_all(exp.EQ)
        if isinstance(equality.this, exp.Column)
        and equality.this.name == column
        and isinstance(equality.expression, exp.Literal)
    }
