"""The dashboards' queries: the same on both targets, and each ratio as MetricFlow itself has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas
import pytest
from databricks import sql
from databricks.sql.client import Connection
from parity import PREFIX, Databricks
from pipeline import Stack
from rounds import Round

from dashboard import Gold, Spark, Warehouse, names
from dashboard.gold import with_literals
from dashboard.metrics import queries_of, semantic_manifest


@pytest.fixture
def parameters(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Filters that let something through; and what leads to Spark, in this process's environment."""
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    day = datetime.now(UTC).date()
    customer = stack.value("select min(customer_id) from gold.customer_transactions")
    return {
        "from_date": day - timedelta(days=300),
        "to_date": day + timedelta(days=30),
        "category": "all",
        "product": "all",
        "customer_id": customer,
    }


def warehouse_of(databricks: Databricks) -> Callable[[], Connection]:
    environment = databricks.warehouse.environment

    def connect() -> Connection:
        connection = sql.connect(
            environment["DATABRICKS_HOST"],
            environment["DATABRICKS_HTTP_PATH"],
            access_token=databricks.warehouse.token,
            **databricks.warehouse.connection_parameters,
        )
        with connection.cursor() as cursor:
            cursor.execute(f"use {PREFIX}_gold")
        return connection

    return connect


def test_every_query_is_the_same_by_databricks_connector(
    databricks: Databricks, full_refresh: None, parameters: dict[str, Any]
) -> None:
    schema = f"{PREFIX}_gold"
    has_all = " intersect ".join(
        f"select customer_id from {schema}.{mart}"
        for mart in ("customer_transactions", "customer_scheduled_payments", "customer_balance_history")
    )
    parameters["customer_id"] = databricks.stack.value(f"select min(customer_id) from ({has_all})")
    ours, theirs = Gold(Spark(schema), schema), Gold(Warehouse(warehouse_of(databricks)), schema)
    empty = set()
    for name in names():
        rows, others = ours.query(name, **parameters), theirs.query(name, **parameters)
        assert list(rows.columns) == list(others.columns), name
        texts = [[list(map(str, row)) for row in one.to_numpy()] for one in (rows, others)]
        assert texts[0] == texts[1], name
        if rows.empty:
            empty.add(name)
    assert len(names()) > 20
    assert empty == set()


def test_a_ratio_is_metricflows_own(
    stack: Stack, after_the_snapshot: Round, parameters: dict[str, Any], tmp_path: Path
) -> None:
    """It divides doubles; here decimals are divided, and rounded."""
    manifest = semantic_manifest(tmp_path)
    own = queries_of(manifest.copy(deep=True), own_ratios=True)
    made = queries_of(manifest)
    with_ratios = [name for name in made if "nullif" in made[name]]
    assert len(with_ratios) >= 8
    store = Spark("gold")
    for name in with_ratios:
        expected = store.rows(with_literals(own[name], parameters)).to_dict("records")
        actual = store.rows(with_literals(made[name], parameters)).to_dict("records")
        assert len(actual) == len(expected) > 0, name
        for one, other in zip(actual, expected, strict=True):
            for column, value in one.items():
                if pandas.isna(value):
                    assert pandas.isna(other[column]), (name, column)
                elif column.endswith(("average_transaction", "failure_rate")):
                    half = 0.005 if column.endswith("average_transaction") else 0.00005
                    assert abs(float(value) - other[column]) <= half + 1e-9, (name, column)
                else:
                    assert str(value) == str(other[column]), (name, column)


def test_a_text_stays_a_text(stack: Stack, parameters: dict[str, Any]) -> None:
    """Whatever a reader writes into a filter."""
    store = Spark("gold")
    for text in ("O'Hara", "\\", "\\' or 1 = 1 --", '"', ":category", "%s", "a\nb", "☕"):
        rows = store.rows(with_literals("select :category as text", {"category": text}))
        assert rows["text"].tolist() == [text]
    assert os.environ["SPARK_REMOTE"]
