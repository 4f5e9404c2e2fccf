"""Databricks' own dashboard (AI/BI, once Lakeview): the pages of the local one, over the same queries.

`make queries` writes it to the file that resources/financial_insights.dashboard.yml deploys.

Its format has no published specification. What is written here is what workspaces export (databricks/bundle-examples),
and what Databricks' own model of it allows (databrickslabs/lsql, lakeview/model.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

from dashboard.gold import QUERIES

FILE = Path(__file__).with_name("financial_insights.lvdash.json")

Json = dict[str, Any]
# What a column is called, and how its values are written; None is as Databricks writes them.
Column = tuple[str, Json | None]

COLUMNS_OF_A_PAGE = 6


# How values are written.


def _written(places: int, *, kind: str = "number-plain", grouped: bool = True) -> Json:
    """A number with so many decimal places, with thousands separators or without."""
    decimals = {"type": "exact", "places": places}
    return {"type": kind, "abbreviation": "none", "decimalPlaces": decimals, "hideGroupSeparator": not grouped}


MONEY = _written(2)
COUNT = _written(0)
SHARE = _written(2, kind="number-percent")
# A key is no amount: 10,001 would not be found again.
KEY = _written(0, grouped=False)
DAY: Json = {"type": "date", "date": "locale-short-month", "leadingZeros": True}
TIME: Json = {"type": "date-time", "date": "locale-short-month", "time": "locale-hour-minute", "leadingZeros": True}
AS_IT_IS = None


# What a reader may choose. The names are those after the colons in the queries.


@dataclass(frozen=True)
class Choice:
    """A parameter of queries.

    Attributes:
        label: what it is called on the page.
        data_type: Databricks' word for its type.
        default: its value until a reader chooses another; `now-30d/d` is the day 30 days ago.
        filter: the widget that it is chosen with.
        options: the query with what there is to choose from, beside `all`.
    """

    label: str
    data_type: str
    default: str
    filter: str
    options: str | None = None


ALL = "all"
CHOICES = {
    "from_date": Choice("From", "DATE", "now-30d/d", "filter-date-picker"),
    "to_date": Choice("To", "DATE", "now/d", "filter-date-picker"),
    "category": Choice("Category", "STRING", ALL, "filter-single-select", "categories"),
    "product": Choice("Product", "STRING", ALL, "filter-single-select", "products"),
    # Typed, as a bank has too many customers for a list.
    "customer_id": Choice("Customer", "INTEGER", "1", "filter-text-entry"),
}
# Payments are due in days to come, all of which are shown at first. No example has a relative day that lies ahead.
FAR = "2099-12-31T00:00:00.000"
DEFAULTS = {("payment_totals", "to_date"): FAR, ("payments_by_day", "to_date"): FAR}


# What a page is made of.


@dataclass(frozen=True)
class Filter:
    """A field in which a reader chooses the value of a parameter, for all queries of the page that have it."""

    parameter: str
    height = 1

    @property
    def title(self) -> str:
        """What is above it."""
        return CHOICES[self.parameter].label

    def queries(self) -> Iterator[str]:
        """The queries that it shows rows of."""
        if options := CHOICES[self.parameter].options:
            yield options

    def drawn(self, asked: Mapping[str, list[str]]) -> Json:
        """The widget, without its name.

        Args:
            asked: the page's queries, each with its parameters.
        """
        queries, fields = [], []
        for options in self.queries():
            queries.append(_query(options, [_column(self.parameter)], is_raw=False, name=options))
            fields.append({"fieldName": self.parameter, "queryName": options})
        for query in [query for query, parameters in asked.items() if self.parameter in parameters]:
            name = f"{query}-{self.parameter}"
            parameter = {"name": self.parameter, "keyword": self.parameter}
            queries.append(
                {"name": name, "query": {"datasetName": query, "parameters": [parameter], "disaggregated": False}}
            )
            fields.append({"parameterName": self.parameter, "queryName": name})
        kind = CHOICES[self.parameter].filter
        return _widget(kind, 2, self.title, queries, {"fields": fields})


@dataclass(frozen=True)
class Shown:
    """What is shown of one query.

    Attributes:
        query: its name.
        title: what is above it.
    """

    query: str
    title: str

    def queries(self) -> Iterator[str]:
        """The query."""
        yield self.query


@dataclass(frozen=True)
class Figure(Shown):
    """One number: a column of a query with one row, or an aggregation of one with more.

    Attributes:
        value: the column's name, or the aggregation with its columns in backticks.
    """

    value: str
    format: Json | None
    description: str = ""
    height = 2

    def drawn(self, asked: Mapping[str, list[str]]) -> Json:
        """The widget, without its name."""
        is_column = self.value.isidentifier()
        field = _column(self.value) if is_column else _aggregated(self.value)
        value = _encoded(field["name"], (self.title, self.format))
        query = _query(self.query, [field], is_raw=is_column)
        return _widget("counter", 2, self.title, [query], {"value": value}, self.description)


@dataclass(frozen=True)
class Lines(Shown):
    """How columns go by day.

    Attributes:
        day: the column with the day.
        values: what is drawn of each.
        kind: `line`, or `bar` for bars that are stacked.
    """

    day: str
    values: dict[str, str]
    format: Json | None
    kind: str = "line"
    description: str = ""
    height = 6

    def drawn(self, asked: Mapping[str, list[str]]) -> Json:
        """The widget, without its name."""
        day = {"name": f"daily({self.day})", "expression": f'DATE_TRUNC("DAY", `{self.day}`)'}
        sums = {label: _sum(column) for column, label in self.values.items()}
        x = {"fieldName": day["name"], "scale": {"type": "temporal"}, "displayName": "Day", "axis": {"hideTitle": True}}
        encodings = {"x": x, "y": _quantities(sums, self.format)}
        query = _query(self.query, [day, *sums.values()], is_raw=False)
        mark = {"mark": {"layout": "stack"}} if self.kind == "bar" else {}
        return _widget(self.kind, 3, self.title, [query], encodings, self.description, **mark)


@dataclass(frozen=True)
class Bars(Shown):
    """How columns compare by a text, the largest first.

    Attributes:
        by: the column with the text, and what that is called.
        values: what is drawn of each, side by side.
    """

    by: tuple[str, str]
    values: dict[str, str]
    format: Json | None
    description: str = ""
    height = 6

    def drawn(self, asked: Mapping[str, list[str]]) -> Json:
        """The widget, without its name."""
        column, label = self.by
        sums = {label: _sum(column) for column, label in self.values.items()}
        scale = {"type": "categorical", "sort": {"by": "x-reversed"}}
        y = {"fieldName": column, "scale": scale, "displayName": label, "axis": {"hideTitle": True}}
        encodings = {"x": _quantities(sums, self.format), "y": y}
        query = _query(self.query, [_column(column), *sums.values()], is_raw=False)
        mark = {"layout": "group"}
        return _widget("bar", 3, self.title, [query], encodings, self.description, mark=mark)


@dataclass(frozen=True)
class Shares(Shown):
    """What part of the whole each has: a pie.

    Attributes:
        by: the column with the text, and what that is called.
        value: the column that is added up, and what that is called.
    """

    by: tuple[str, str]
    value: tuple[str, str]
    description: str = ""
    height = 6

    def drawn(self, asked: Mapping[str, list[str]]) -> Json:
        """The widget, without its name."""
        (column, label), (summed, whole) = self.by, self.value
        field = _sum(summed)
        encodings = {
            "angle": {"fieldName": field["name"], "scale": {"type": "quantitative"}, "displayName": whole},
            "color": {"fieldName": column, "scale": {"type": "categorical"}, "displayName": label},
            "label": {"show": True},
        }
        query = _query(self.query, [_column(column), field], is_raw=False)
        return _widget("pie", 3, self.title, [query], encodings, self.description)


@dataclass(frozen=True)
class Table(Shown):
    """Rows of a query.

    Attributes:
        columns: those that are shown, in order.
        largest: the column whose largest values come first; None leaves the query's order.
    """

    columns: dict[str, Column]
    largest: str | None = None
    description: str = ""
    height = 6

    def drawn(self, asked: Mapping[str, list[str]]) -> Json:
        """The widget, without its name."""
        query = _query(self.query, [_column(name) for name in self.columns], is_raw=True)
        if self.largest:
            query["query"]["orders"] = [{"direction": "DESC", "expression": f"`{self.largest}`"}]
        columns = [_encoded(name, column) for name, column in self.columns.items()]
        return _widget("table", 2, self.title, [query], {"columns": columns}, self.description)


Widget = Filter | Figure | Lines | Bars | Shares | Table


@dataclass(frozen=True)
class Page:
    """A page, as rows of widgets that have equal parts of its width."""

    title: str
    description: str
    rows: tuple[tuple[Widget, ...], ...]


# The pages.

MOVED: dict[str, Column] = {
    "money_moved": ("Moved", MONEY),
    "average_transaction": ("Average", MONEY),
    "money_out": ("Debits", MONEY),
    "money_in": ("Credits", MONEY),
    "transactions": ("Transactions", COUNT),
}
PAYMENTS: dict[str, Column] = {
    "scheduled_payments": ("Due", COUNT),
    "scheduled_amount": ("Amount due", MONEY),
    "overdue_payments": ("Overdue", COUNT),
    "overdue_amount": ("Amount overdue", MONEY),
    "executed_payments": ("Executed", COUNT),
    "failed_payments": ("Failed", COUNT),
    "cancelled_payments": ("Cancelled", COUNT),
    "payment_failure_rate": ("Failure rate", SHARE),
}
FRESHNESS: dict[str, Column] = {
    "bronze_table": ("Table", AS_IT_IS),
    "last_committed_at": ("Newest change (UTC)", TIME),
    "last_ingested_at": ("Landed (UTC)", TIME),
    "last_run_at": ("Last run of dbt (UTC)", TIME),
}


def _figures(query: str, columns: Mapping[str, Column], *chosen: str) -> tuple[Figure, ...]:
    """A figure for each of the columns that are chosen."""
    return tuple(Figure(query, columns[column][0], column, columns[column][1]) for column in chosen)


PAGES = (
    Page(
        "Overview",
        "What moved in the bank, what customers have, and how new that is.",
        (
            (Filter("from_date"), Filter("to_date")),
            (
                Figure("money_totals", "Money in", "money_in", MONEY),
                Figure("money_totals", "Money out", "money_out", MONEY),
                Figure("money_totals", "Net", "SUM(`money_in`) - SUM(`money_out`)", MONEY),
            ),
            (
                Figure("balance_totals", "Balance", "total_balance", MONEY, "On all accounts of customers, now."),
                Figure("balance_totals", "Customers", "customers", COUNT),
                Figure(
                    *("active_customers", "Active customers", "customers", COUNT),
                    "Whose balance last changed on the first day of the period or later.",
                ),
            ),
            (
                Lines(
                    *("money_by_day", "Money by day", "transaction_date"),
                    {"money_in": "Money in", "money_out": "Money out"},
                    MONEY,
                ),
            ),
            (Table("pipeline_health", "Freshness", FRESHNESS),),
        ),
    ),
    Page(
        "Transactions",
        "What moved in a period: in all, by day, by category and by customer.",
        (
            (Filter("from_date"), Filter("to_date"), Filter("category")),
            _figures("money_totals", MOVED, "money_moved", "average_transaction", "transactions"),
            _figures("money_totals", MOVED, "money_out", "money_in"),
            (
                Lines(
                    *("money_by_day", "Debits and credits by day", "transaction_date"),
                    {"money_out": "Debits", "money_in": "Credits"},
                    MONEY,
                ),
            ),
            (
                Bars(
                    *("money_by_category", "Debits and credits by category", ("category", "Category")),
                    {"money_out": "Debits", "money_in": "Credits"},
                    MONEY,
                ),
                Table(
                    *("money_by_category", "Transactions by category", {"category": ("Category", AS_IT_IS), **MOVED}),
                    largest="money_moved",
                ),
            ),
            (
                Table(
                    *("money_by_day", "Transactions by day", {"transaction_date": ("Day", DAY), **MOVED}),
                    largest="transaction_date",
                ),
            ),
            (
                Table(
                    *("money_by_customer", "Customers of all time"),
                    {
                        "customer": ("Customer", KEY),
                        **{f"lifetime_{name}": column for name, column in MOVED.items()},
                    },
                    description="Those on whose accounts most money ever moved, in all categories.",
                ),
            ),
        ),
    ),
    Page(
        "Customer",
        "One customer: what they have and had, what moved, what is to be paid, and what the bank wrote about them.",
        (
            (Filter("customer_id"), Filter("from_date"), Filter("to_date")),
            (
                Figure("customer", "Balance", "latest_balance", MONEY, "On all accounts, now."),
                Figure("customer_money_totals", "Money in", "customer_money_in", MONEY, "In the period."),
                Figure("customer_money_totals", "Money out", "customer_money_out", MONEY, "In the period."),
            ),
            (
                Figure("customer", "Moved", "total_transactions", MONEY, "Ever."),
                Figure("customer", "Average", "average_transaction", MONEY, "Of all transactions ever."),
                Figure("customer", "Transactions", "transaction_count", COUNT, "Ever."),
            ),
            (
                Figure("customer", "Due", "scheduled_count", COUNT),
                Figure("customer", "Amount due", "scheduled_amount", MONEY),
                Figure("customer", "Next due", "next_due_date", DAY),
            ),
            (
                Figure("customer", "Overdue", "overdue_count", COUNT),
                Figure("customer", "Amount overdue", "overdue_amount", MONEY),
                Figure("customer", "Failed", "failed_count", COUNT, "Scheduled payments, ever."),
            ),
            (
                Lines(
                    *("customer_balance_by_day", "Balance by day", "balance_date", {"closing_balance": "Balance"}),
                    MONEY,
                    description="At the end of each day on which it changed.",
                ),
            ),
            (
                Table(
                    *("customer_transactions", "Transactions"),
                    {
                        "transacted_at": ("Time (UTC)", TIME),
                        "category": ("Category", AS_IT_IS),
                        "transaction_type": ("Type", AS_IT_IS),
                        "amount": ("Amount", MONEY),
                        "account_id": ("Account", KEY),
                    },
                ),
                Table(
                    *("customer_scheduled_payments", "Scheduled payments"),
                    {
                        "due_date": ("Due", DAY),
                        "payee": ("Payee", AS_IT_IS),
                        "state": ("State", AS_IT_IS),
                        "frequency": ("Frequency", AS_IT_IS),
                        "amount": ("Amount", MONEY),
                    },
                ),
            ),
            (
                Table(
                    *("customer_history", "History of changes"),
                    {
                        "valid_from": ("From (UTC)", TIME),
                        "valid_to": ("To (UTC)", TIME),
                        "full_name": ("Name", AS_IT_IS),
                        "email": ("E-mail", AS_IT_IS),
                        "is_deleted": ("Deleted", AS_IT_IS),
                    },
                ),
            ),
        ),
    ),
    Page(
        "Products",
        "What is bought: most, how that goes, and each product's share.",
        (
            (Filter("from_date"), Filter("to_date"), Filter("product")),
            (
                Figure("sales_by_product", "Sold", "SUM(`quantity_sold`)", COUNT),
                Figure("sales_by_product", "Purchases", "SUM(`purchases`)", COUNT),
                Figure("sales_by_product", "Products", "COUNT(`product`)", COUNT),
            ),
            (
                Bars(
                    *("sales_by_product", "Top sellers", ("product", "Product"), {"quantity_sold": "Sold"}),
                    COUNT,
                ),
                Shares("sales_by_product", "Share", ("product", "Product"), ("quantity_sold", "Sold")),
            ),
            (Lines("sales_by_day", "Trend", "purchase_date", {"quantity_sold": "Sold"}, COUNT),),
            (
                Table(
                    *("sales_by_product", "Sales by product"),
                    {
                        "product": ("Product", AS_IT_IS),
                        "quantity_sold": ("Sold", COUNT),
                        "purchases": ("Purchases", COUNT),
                    },
                    largest="quantity_sold",
                ),
                Table(
                    *("sales_by_day", "Sales by day"),
                    {
                        "purchase_date": ("Day", DAY),
                        "quantity_sold": ("Sold", COUNT),
                        "purchases": ("Purchases", COUNT),
                    },
                    largest="purchase_date",
                ),
            ),
        ),
    ),
    Page(
        "Scheduled payments",
        "The calendar, what is due and overdue, and whose payments fail.",
        (
            (Filter("from_date"), Filter("to_date")),
            _figures("payment_totals", PAYMENTS, "scheduled_payments", "scheduled_amount"),
            _figures("payment_totals", PAYMENTS, "overdue_payments", "overdue_amount"),
            _figures("payment_totals", PAYMENTS, "executed_payments", "failed_payments", "payment_failure_rate"),
            (
                Lines(
                    *("payments_by_day", "Calendar", "due_date"),
                    {
                        column: PAYMENTS[column][0]
                        for column in (
                            "scheduled_payments",
                            "executed_payments",
                            "failed_payments",
                            "cancelled_payments",
                        )
                    },
                    COUNT,
                    kind="bar",
                    description="Payments by the day they are due; overdue ones are among those that are due.",
                ),
            ),
            (
                Table(
                    *("payments_by_customer", "Payments that fail most"),
                    {
                        "customer": ("Customer", KEY),
                        "lifetime_failed_payments": ("Failed", COUNT),
                        "lifetime_executed_payments": ("Executed", COUNT),
                        "lifetime_payment_failure_rate": ("Failure rate", SHARE),
                        "lifetime_overdue_payments": ("Overdue", COUNT),
                        "lifetime_overdue_amount": ("Amount overdue", MONEY),
                    },
                    description="Customers by failed payments, of all time.",
                ),
            ),
            (Table("payments_by_day", "Payments by day", {"due_date": ("Day", DAY), **PAYMENTS}),),
        ),
    ),
    Page(
        "Pipeline",
        "How new each table is, how much came, what could not be read, and the last runs.",
        (
            (
                Figure(
                    *("pipeline_health", "Newest change (UTC)", "MAX(`last_committed_at`)", TIME),
                    "When the bank committed the newest change that dbt took up.",
                ),
                Figure("pipeline_health", "Changes", "SUM(`change_count`)", COUNT),
            ),
            (
                Figure(
                    *("pipeline_health", "Quarantined", "SUM(`quarantined_count`)", COUNT),
                    "Messages that could not be read; quarantined_messages in Silver says why.",
                ),
                Figure(
                    *("pipeline_health", "Tables with unknown fields", "COUNT(`unknown_fields`)", COUNT),
                    "Whose last messages had fields that the models don't know.",
                ),
                Figure(
                    *("pipeline_health", "Tables with missing fields", "COUNT(`missing_fields`)", COUNT),
                    "Whose last messages lacked fields that the models read.",
                ),
            ),
            (Table("pipeline_health", "Freshness", FRESHNESS),),
            (
                Bars(
                    *("pipeline_health", "Changes by table", ("bronze_table", "Table"), {"change_count": "Changes"}),
                    COUNT,
                ),
                Table(
                    *("pipeline_health", "Messages by table"),
                    {
                        "bronze_table": ("Table", AS_IT_IS),
                        "change_count": ("Changes", COUNT),
                        "quarantined_count": ("Quarantined", COUNT),
                        "unknown_fields": ("Unknown fields", AS_IT_IS),
                        "missing_fields": ("Missing fields", AS_IT_IS),
                    },
                ),
            ),
            (
                Table(
                    *("pipeline_runs", "Last runs"),
                    {
                        "run_started_at": ("Began (UTC)", TIME),
                        "change_count": ("Changes", COUNT),
                        "quarantined_count": ("Quarantined", COUNT),
                        "tables": ("Tables", COUNT),
                        "last_committed_at": ("Newest change (UTC)", TIME),
                    },
                ),
            ),
        ),
    ),
)


# What is made of them.


def lakeview(queries: Mapping[str, str]) -> Json:
    """The dashboard as Databricks serializes it.

    Names come from titles and queries, so that the same pages give the same file.

    Args:
        queries: the SQL of each, by its name; those that no page shows are passed over.

    Raises:
        KeyError: a page shows a query that isn't there, or one has a parameter that isn't among `CHOICES`.
    """
    shown = dict.fromkeys(query for page in PAGES for query in _queries(page))
    parameters = {query: _parameters(queries[query]) for query in shown}
    return {
        "datasets": [_dataset(query, queries[query], parameters[query]) for query in shown],
        "pages": [_page(page, {query: parameters[query] for query in _queries(page)}) for page in PAGES],
        "uiSettings": {"theme": {"widgetHeaderAlignment": "ALIGNMENT_UNSPECIFIED"}, "applyModeEnabled": False},
    }


def write(file: Path) -> None:
    """Write the dashboard, as made from the queries that are there."""
    made = lakeview({query.stem: query.read_text() for query in QUERIES.rglob("*.sql")})
    file.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n")


def _queries(page: Page) -> Iterator[str]:
    """The queries that a page shows, as often as it does."""
    for row in page.rows:
        for widget in row:
            yield from widget.queries()


def _parameters(sql: str) -> list[str]:
    """The names that a query has after colons."""
    return sorted({marker.name for marker in sqlglot.parse_one(sql, dialect="databricks").find_all(exp.Placeholder)})


def _dataset(name: str, sql: str, parameters: list[str]) -> Json:
    """A query, with its SQL as it is. What is chosen from has `all` in it as well: a reader must find the way back."""
    for parameter, choice in CHOICES.items():
        if choice.options == name:
            sql = f"select '{ALL}' as {parameter}\nunion all\nselect {parameter}\nfrom (\n{sql}) as options\n"
    dataset: Json = {"name": name, "displayName": _sentence(name), "queryLines": sql.splitlines(keepends=True)}
    if parameters:
        dataset["parameters"] = [_declared(name, parameter) for parameter in parameters]
    return dataset


def _declared(query: str, parameter: str) -> Json:
    """A query's parameter."""
    choice = CHOICES[parameter]
    default = DEFAULTS.get((query, parameter), choice.default)
    return {
        "displayName": choice.label,
        "keyword": parameter,
        "dataType": choice.data_type,
        "defaultSelection": {"values": {"dataType": choice.data_type, "values": [{"value": default}]}},
    }


def _page(page: Page, asked: Mapping[str, list[str]]) -> Json:
    """A page: what it is for, and below that its rows."""
    name = _slug(page.title)
    text = {"name": f"{name}-about", "multilineTextboxSpec": {"lines": [page.description]}}
    layout = [_placed(text, 0, 0, COLUMNS_OF_A_PAGE, 1)]
    y = 1
    for row in page.rows:
        width, height = COLUMNS_OF_A_PAGE // len(row), max(widget.height for widget in row)
        for index, widget in enumerate(row):
            kind = type(widget).__name__.lower()
            drawn = {"name": f"{name}-{kind}-{_slug(widget.title)}", **widget.drawn(asked)}
            layout.append(_placed(drawn, index * width, y, width, height))
        y += height
    return {"name": name, "displayName": page.title, "layout": layout, "pageType": "PAGE_TYPE_CANVAS"}


def _placed(widget: Json, x: int, y: int, width: int, height: int) -> Json:
    return {"widget": widget, "position": {"x": x, "y": y, "width": width, "height": height}}


def _widget(
    kind: str, version: int, title: str, queries: list[Json], encodings: Json, description: str = "", **more: Json
) -> Json:
    """A widget without its name. Each kind has its version of the format: with another it isn't drawn."""
    frame: Json = {"showTitle": True, "title": title}
    if description:
        frame |= {"showDescription": True, "description": description}
    return {
        "queries": queries,
        "spec": {"version": version, "widgetType": kind, "encodings": encodings, "frame": frame, **more},
    }


def _query(dataset: str, fields: list[Json], *, is_raw: bool, name: str = "main_query") -> Json:
    """What a widget asks of a dataset: its rows as they are, or aggregated by the fields that aren't aggregations."""
    return {"name": name, "query": {"datasetName": dataset, "fields": fields, "disaggregated": is_raw}}


def _column(name: str) -> Json:
    return {"name": name, "expression": f"`{name}`"}


def _aggregated(expression: str) -> Json:
    return {"name": expression.replace("`", "").lower(), "expression": expression}


def _sum(column: str) -> Json:
    return _aggregated(f"SUM(`{column}`)")


def _encoded(field: str, column: Column) -> Json:
    """A field with what it is called and how it is written."""
    label, written = column
    return {"fieldName": field, "displayName": label} | ({"format": written} if written else {})


def _quantities(sums: Mapping[str, Json], written: Json | None) -> Json:
    """The axis of what is drawn, by labels: alone it is the axis's own, several are its series."""
    axis: Json = {"scale": {"type": "quantitative"}} | ({"format": written} if written else {})
    series = [{"fieldName": field["name"], "displayName": label} for label, field in sums.items()]
    if len(series) == 1:
        return axis | series[0]
    return axis | {"fields": series}


def _slug(title: str) -> str:
    """A title as a name: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _sentence(name: str) -> str:
    """A query's name as one reads it."""
    return name.replace("_", " ").capitalize()
