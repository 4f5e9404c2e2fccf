"""The dashboards' queries: made from dbt's metrics, of Gold alone, and never a whole table of what grows."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn, cast

import pytest
import sqlglot
import yaml
from databricks.sql.client import Connection
from databricks.sql.exc import Error as DatabricksError
from pipeline import PROJECT
from sqlglot import exp

from dashboard import DashboardError, names
from dashboard.gold import QUERIES, Warehouse, statement, with_literals
from dashboard.metrics import queries_of, semantic_manifest, write

MARTS = PROJECT / "models" / "marts"
# Marts with a row for each transaction, payment or day of a customer: these grow with the bank.
GROWING = {"customer_transactions", "customer_scheduled_payments", "customer_balance_history"}


def test_the_metrics_queries_are_what_dbts_metrics_make(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    write(queries_of(semantic_manifest(tmp_path / "target")), made)
    theirs, ours = (
        {file.name: file.read_text() for file in folder.iterdir()} for folder in (made, QUERIES / "metrics")
    )
    assert theirs == ours, "Run: make queries"


@pytest.mark.parametrize("name", names())
def test_a_query_reads_gold_and_writes_nothing(name: str) -> None:
    (parsed,) = sqlglot.parse(statement(name), dialect="databricks")
    assert isinstance(parsed, exp.Select)
    tables = {table.name for table in parsed.find_all(exp.Table)}
    assert tables
    assert tables <= {file.stem for file in MARTS.glob("*.sql")}
    assert not any(table.db or table.catalog for table in parsed.find_all(exp.Table))


@pytest.mark.parametrize("name", names())
def test_of_what_grows_a_query_reads_one_customers(name: str) -> None:
    (parsed,) = sqlglot.parse(statement(name), dialect="databricks")
    assert parsed is not None
    if {table.name for table in parsed.find_all(exp.Table)} & GROWING:
        conditions = [where.sql() for where in parsed.find_all(exp.Where)]
        assert any("customer" in condition and ":customer_id" in condition for condition in conditions)


def test_lineage_ends_in_the_dashboards() -> None:
    exposures = yaml.safe_load((MARTS / "_marts__exposures.yml").read_text())["exposures"]
    read = {f"ref('{file.stem}')" for file in MARTS.glob("*.sql")}
    assert {one["name"]: set(one["depends_on"]) for one in exposures} == {
        name: read for name in ("local_dashboard", "databricks_dashboard", "power_bi", "tableau")
    }
    assert all(one["url"].startswith("http") and one["owner"]["email"] for one in exposures)


def test_a_parameter_is_found_where_it_is_one() -> None:
    sql = "select ':a', `:a`, x::int, struct<a: int>, 'it''s :a' -- :a\n/* :a */ from t where a = :a and b = :b"
    bound = with_literals(sql, {"a": "'", "b": 1})
    assert bound == sql.replace("= :a", "= '\\''").replace("= :b", "= 1")


def test_a_query_that_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(DashboardError, match="There is no query missing"):
        statement("missing")


def test_a_metric_that_is_renamed_is_renamed_in_the_queries(tmp_path: Path) -> None:
    """The queries are dbt's: what is defined there, is asked for here."""
    manifest = semantic_manifest(tmp_path / "target")
    for metric in manifest.metrics:
        if metric.name == "money_in":
            metric.name = "income"
    for query in manifest.saved_queries:
        query.query_params.metrics = ["income" if one == "money_in" else one for one in query.query_params.metrics]
    made = queries_of(manifest)
    assert "income" in made["money_by_day"]
    assert "money_in" not in made["money_by_day"]


@pytest.mark.parametrize("text", ["", "\n  \n", "no such table\nand a stack trace"])
def test_a_query_that_failed_ends_in_one_line_and_its_connection_is_closed(text: str) -> None:
    closed = []

    class Failing:
        """What databricks-sql-connector's Connection does of it, for there is no warehouse here."""

        def cursor(self) -> NoReturn:
            raise DatabricksError(text)

        def close(self) -> None:
            closed.append(self)

    with pytest.raises(DashboardError) as refused:
        Warehouse(lambda: cast(Connection, Failing())).rows("select 1")
    assert str(refused.value) == f"Databricks refuses: {'no such table' if 'table' in text else 'Error'}"
    assert len(closed) == 1
