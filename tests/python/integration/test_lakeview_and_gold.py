"""Each query of Databricks' dashboard gives what its widgets show: the local Gold, asked as the dashboard would ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow
import pytest
import sqlglot
from pipeline import Stack
from rounds import Round
from sqlglot import exp

from dashboard import lakeview
from dashboard.gold import Parameter, with_literals

CONTENT: dict[str, Any] = json.loads(lakeview.FILE.read_text())
DATASETS = {dataset["name"]: dataset for dataset in CONTENT["datasets"]}

Ask = Callable[..., pyarrow.Table]


@pytest.fixture(scope="module")
def ask(stack: Stack, after_live_changes: Round) -> Ask:
    """The rows of a dataset, with its default parameters but for those that are given. Tables are in Gold."""
    session = stack.new_session()
    session.sql("use gold").collect()

    @cache
    def ask(name: str, **given: Parameter) -> pyarrow.Table:
        defaults = {parameter["keyword"]: default(parameter) for parameter in DATASETS[name].get("parameters", [])}
        sql = with_literals("".join(DATASETS[name]["queryLines"]), {**defaults, **given})
        return session.sql(sql).toArrow()

    return ask


@pytest.fixture(scope="module")
def widest(stack: Stack, after_live_changes: Round) -> dict[str, Parameter]:
    """Parameters that let everything through, and a customer who has all that there is to have."""
    customer = stack.value(
        "select min(customer_id) from gold.customer_profile where transaction_count > 0 and scheduled_count > 0"
        " and latest_balance is not null"
    )
    return {"from_date": date(2000, 1, 1), "to_date": date(2100, 1, 1), "customer_id": customer}


def default(parameter: dict[str, Any]) -> Parameter:
    """A parameter's default as Databricks understands it."""
    (value,) = (one["value"] for one in parameter["defaultSelection"]["values"]["values"])
    today = datetime.now(UTC).date()
    match parameter["dataType"], value:
        case "DATE", "now/d":
            return today
        case "DATE", "now-30d/d":
            return today - timedelta(days=30)
        case "DATE", _:
            return datetime.fromisoformat(value).date()
        case "INTEGER", _:
            return int(value)
        case _:
            return str(value)


def shown(name: str) -> dict[str, list[dict[str, Any]]]:
    """The columns that widgets ask a dataset for; of each, how it is encoded where it is shown as it is."""
    columns: dict[str, list[dict[str, Any]]] = {}
    for page in CONTENT["pages"]:
        for placed in page["layout"]:
            widget = placed["widget"]
            for named in widget.get("queries", []):
                if named["query"]["datasetName"] != name:
                    continue
                for field in named["query"].get("fields", []):
                    for column in sqlglot.parse_one(field["expression"], dialect="databricks").find_all(exp.Column):
                        encodings = widget["spec"]["encodings"]
                        listed = [
                            *encodings.get("columns", []),
                            *([encodings["value"]] if "value" in encodings else []),
                        ]
                        columns.setdefault(column.name, []).extend(
                            one for one in listed if one["fieldName"] == field["name"]
                        )
    return columns


@pytest.mark.parametrize("name", DATASETS)
def test_a_query_gives_the_columns_that_widgets_show(ask: Ask, name: str) -> None:
    assert {*shown(name)} <= {*ask(name).column_names}


@pytest.mark.parametrize("name", DATASETS)
def test_a_query_gives_rows(ask: Ask, widest: dict[str, Parameter], name: str) -> None:
    assert ask(name, **widest).num_rows > 0


@pytest.mark.parametrize("name", DATASETS)
def test_numbers_are_written_as_what_they_are(ask: Ask, widest: dict[str, Parameter], name: str) -> None:
    """Money with two places and thousands separators, shares in percent, counts without places."""
    types = {field.name: field.type for field in ask(name, **widest).schema}
    for column, encodings in shown(name).items():
        for encoding in encodings:
            written = encoding.get("format", {})
            decimals = written.get("decimalPlaces", {}).get("places")
            if column.endswith("_rate"):
                assert (written["type"], decimals) == ("number-percent", 2), column
            elif pyarrow.types.is_decimal(types[column]):
                assert (written["type"], decimals, written["hideGroupSeparator"]) == ("number-plain", 2, False), column
            elif pyarrow.types.is_integer(types[column]):
                assert (written["type"], decimals) == ("number-plain", 0), column
                assert written["hideGroupSeparator"] == (column in ("customer", "account_id")), column


def test_totals_are_those_of_their_days(ask: Ask, widest: dict[str, Parameter]) -> None:
    (totals,) = ask("money_totals", **widest).to_pylist()
    days = ask("money_by_day", **widest).to_pylist()
    assert totals["money_in"] == sum((day["money_in"] for day in days), Decimal())
    assert totals["money_in"] > 0


@pytest.mark.parametrize(
    ("options", "parameter", "name"),
    [("categories", "category", "money_by_category"), ("products", "product", "sales_by_product")],
)
def test_what_can_be_chosen_leaves_just_that(
    ask: Ask, widest: dict[str, Parameter], options: str, parameter: str, name: str
) -> None:
    choices = [row[parameter] for row in ask(options).to_pylist()]
    assert choices.count("all") == 1
    everything = {row[parameter] for row in ask(name, **widest).to_pylist()}
    assert len(everything) > 1
    assert everything <= {*choices}
    for choice in sorted(everything)[:2]:
        assert [row[parameter] for row in ask(name, **widest, **{parameter: choice}).to_pylist()] == [choice]


def test_a_period_leaves_its_days(ask: Ask, widest: dict[str, Parameter]) -> None:
    days = [row["transaction_date"].date() for row in ask("money_by_day", **widest).to_pylist()]
    half = (len(days) + 1) // 2
    first, last = days[0], days[half - 1]
    chosen = [row["transaction_date"].date() for row in ask("money_by_day", from_date=first, to_date=last).to_pylist()]
    assert chosen == days[:half]
    assert len(chosen) < len(days)


def test_a_customer_is_seen_alone(ask: Ask, widest: dict[str, Parameter]) -> None:
    (profile,) = ask("customer", **widest).to_pylist()
    assert profile["customer_id"] == widest["customer_id"]
    moved = ask("customer_transactions", **widest).to_pylist()
    (totals,) = ask("customer_money_totals", **widest).to_pylist()
    assert (
        sum((row["amount"] for row in moved if row["transaction_type"] == "credit"), Decimal())
        == (totals["customer_money_in"])
    )
