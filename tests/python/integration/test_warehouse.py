"""The tests' warehouse answers as Databricks does, by Databricks' own connector: what `test_parity.py` builds on."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import warehouse.service
from databricks import sql
from databricks.sql.client import Connection
from databricks.sql.exc import Error
from parity import Databricks


def connect(databricks: Databricks, token: str) -> Connection:
    environment = databricks.warehouse.environment
    return sql.connect(
        environment["DATABRICKS_HOST"],
        environment["DATABRICKS_HTTP_PATH"],
        access_token=token,
        _retry_stop_after_attempts_count=1,
        **databricks.warehouse.connection_parameters,
    )


@pytest.fixture(scope="module")
def connection(databricks: Databricks) -> Iterator[Connection]:
    with connect(databricks, databricks.warehouse.token) as connection:
        query(connection, "create schema if not exists main.of_the_warehouse")
        yield connection
        query(connection, "drop schema main.of_the_warehouse cascade")


def query(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()]


def test_values_arrive_as_they_are(connection: Connection) -> None:
    (row,) = query(
        connection,
        """
        select
            1 as whole, 12.30 as money, 'main.text' as text, true as truth, null as nothing, date '2026-02-28' as day,
            timestamp '2026-02-28 23:59:59.123456' as time, x'00ff' as bytes, parse_json('{"a": [1, "x"]}') as variant
        """,
    )
    time = datetime.datetime(2026, 2, 28, 23, 59, 59, 123456, datetime.UTC)
    day = datetime.date(2026, 2, 28)
    assert row == (1, Decimal("12.30"), "main.text", True, None, day, time, bytearray(b"\0\xff"), '{"a":[1,"x"]}')


def test_an_error_is_sparks_own(connection: Connection) -> None:
    with pytest.raises(Error, match="TABLE_OR_VIEW_NOT_FOUND"):
        query(connection, "select * from main.of_the_warehouse.missing")


def test_a_slow_statement_is_asked_for_again(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse.service, "PATIENCE", 0.001)
    assert query(connection, "select count(*) from range(1000) as main") == [(1000,)]
    with pytest.raises(Error, match="DIVIDE_BY_ZERO"):
        query(connection, "select sum(1 / (id - 999)) from range(1000)")


def test_a_session_has_views_of_its_own(databricks: Databricks, connection: Connection) -> None:
    with connect(databricks, databricks.warehouse.token) as other:
        query(other, "create temporary view of_the_other as select 1 as one")
        assert query(other, "select * from of_the_other") == [(1,)]
    # Its session of Spark is used again.
    with connect(databricks, databricks.warehouse.token) as next_one, pytest.raises(Error, match="NOT_FOUND"):
        query(next_one, "select * from of_the_other")


def test_a_wrong_token_is_refused(databricks: Databricks) -> None:
    with pytest.raises(Error):
        connect(databricks, "wrong")


def test_only_the_one_catalog_is_there(connection: Connection) -> None:
    assert query(connection, "select current_catalog()") == [("main",)]
    with pytest.raises(Error, match="NO_SUCH_CATALOG"):
        query(connection, "use catalog other")


def test_what_unity_catalog_keeps_is_kept_and_ends_with_the_table(connection: Connection) -> None:
    of_table = "table_schema = 'of_the_warehouse' and table_name = 'kept'"
    keys = f"select constraint_name from main.information_schema.table_constraints where {of_table}"
    tags = "select tag_value from system.information_schema.column_tags where table_name = 'kept'"
    columns = f"select column_name, is_nullable from main.information_schema.columns where {of_table}"
    query(
        connection,
        "create table main.of_the_warehouse.kept (id int not null, name string, constraint pk primary key (id))",
    )
    query(connection, "alter table main.of_the_warehouse.kept alter column name set tags ('personal_data' = 'name')")
    query(connection, "grant select on table main.of_the_warehouse.kept to `data scientists`")
    assert query(connection, keys) == [("pk",)]
    assert query(connection, tags) == [("name",)]
    assert query(connection, columns) == [("id", "NO"), ("name", "YES")]
    grants = "show grants on table main.of_the_warehouse.kept"
    assert [row[:2] for row in query(connection, grants)] == [("data scientists", "SELECT")]

    query(connection, "revoke select on table main.of_the_warehouse.kept from `data scientists`")
    query(connection, "alter table main.of_the_warehouse.kept drop constraint if exists pk cascade")
    assert query(connection, grants) == query(connection, keys) == []
    query(connection, "drop table main.of_the_warehouse.kept")
    assert query(connection, tags) == []
