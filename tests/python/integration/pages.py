"""The dashboard's pages as a reader has them, in a real browser; and what they must show, as SQL on Postgres."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests
from axe_playwright_python.sync_playwright import Axe
from pipeline import PROJECT, Stack, wait_for
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, Response
from truth import GOLD

from local.home import free_port

# Milliseconds that something may take to be on a page.
PATIENCE = 90_000

# A point of a chart: its day or product, the figure's name where there are several, the value.
Drawn = tuple[Any, ...]

# What axe-core checks, by Deque's names: all of its rules but those that it calls experimental.
AXE = Axe()


def browser_of_this_machine(playwright: Playwright) -> Browser:
    """Chromium: the machine's own, or that of `playwright install chromium`."""
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    executable = next((path for path in found if path), None)
    # Chromium refuses to sandbox itself for root. It opens nothing but the dashboard.
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=executable, args=root)


@contextlib.contextmanager
def serving(stack: Stack, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """The dashboard, as `make dashboard` starts it: its address."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "dashboard", "serve", "--port", str(port)],
        cwd=PROJECT,
        env={**stack.clean_environment(), **stack.environment, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert f"http://127.0.0.1:{port}" in said, said + process.stdout.read()
        wait_for(lambda: _answers(port), "the dashboard answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).ok
    except requests.ConnectionError:
        return False


@dataclass
class Reader:
    """Somebody with a browser.

    Attributes:
        complaints: what the browser found wrong so far: errors and warnings in its log, answers that were refused, and
            requests to anywhere else than the dashboard.
    """

    address: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, address: str, browser: Browser, **context: Any) -> Reader:
        """Somebody new, whose browser is as `Browser.new_context` has it."""
        opened = browser.new_context(**context)
        # Two cores run all of the chain beside the browser.
        opened.set_default_timeout(PATIENCE)
        reader = cls(address, opened, opened.new_page())
        reader.listen(reader.page)
        return reader

    def listen(self, page: Page) -> None:
        """Keep what the browser finds wrong with a page."""

        def log(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(f"{page.url}: {message.text}")

        def answered(response: Response) -> None:
            if response.status >= 400:
                self.complaints.append(f"{response.status} {response.url}")

        def asked(request: Request) -> None:
            if not request.url.startswith((self.address, "data:", "blob:")):
                self.complaints.append(f"asked {request.url}")

        page.on("console", log)
        page.on("response", answered)
        page.on("request", asked)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))

    def open(self, path: str) -> None:
        """Open a page by its address, and wait until it is all there."""
        self.page.goto(f"{self.address}/{path}")
        self.settle()

    def settle(self) -> None:
        """Wait until the page is all there, and doesn't change any more: a click takes a moment to begin something."""
        self.page.evaluate("window.readySince = undefined")
        self.page.wait_for_function(
            """() => {
                const app = document.querySelector('[data-testid=stApp]');
                const isReady = app?.dataset.testScriptState === 'notRunning'
                    && app.dataset.testConnectionState === 'CONNECTED'
                    && document.querySelector('h1')
                    && !document.querySelector('[data-testid=stSpinner], [data-stale=true], [data-testid=stSkeleton]');
                window.readySince = isReady ? window.readySince ?? performance.now() : undefined;
                return isReady && performance.now() - window.readySince > 500;
            }"""
        )

    def figures(self) -> dict[str, str]:
        """The page's figures by their names."""
        script = """metrics => Object.fromEntries(metrics.map(metric => [
            metric.querySelector('[data-testid=stMetricLabel]').innerText.trim(),
            metric.querySelector('[data-testid=stMetricValue]').innerText.trim()]))"""
        found: dict[str, str] = self.page.locator("[data-testid=stMetric]").evaluate_all(script)
        return found

    def tables(self) -> dict[str, list[dict[str, str]]]:
        """The rows of the page's tables, by the table's name: a text for each heading."""
        script = """tables => Object.fromEntries(tables.map(table => {
            const texts = row => [...row.cells].map(cell => cell.innerText.trim());
            const [head, ...rows] = [...table.rows].map(texts);
            return [table.getAttribute('aria-label') ?? table.caption?.innerText,
                rows.map(row => Object.fromEntries(row.map((text, column) => [head[column], text])))];}))"""
        found: dict[str, list[dict[str, str]]] = self.page.get_by_role("table").evaluate_all(script)
        return found

    def export(self, name: str) -> list[dict[str, str]]:
        """What a table's button for CSV gives."""
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name=f"{name} as CSV").click()
        with Path(download.value.path()).open(newline="") as file:
            return list(csv.DictReader(file))

    def background(self) -> list[int]:
        """Red, green and blue of the page's background, each up to 255."""
        script = "app => getComputedStyle(app).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)"
        colour: list[int] = self.page.get_by_test_id("stApp").evaluate(script)
        return colour

    def violations(self) -> list[str]:
        """What axe finds inaccessible in the page."""
        found = AXE.run(self.page).response["violations"]
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['failureSummary']}"
            for one in found
            for node in one["nodes"]
        ]


# How a reader reads a value. Written apart from the dashboard's own, so that it can prove that wrong.
KINDS: dict[str, Callable[[Any], str]] = {
    "money": "{:,.2f}".format,
    "number": "{:,}".format,
    "share": lambda value: f"{Decimal(value) * 100:.2f}%",
    "day": "{:%Y-%m-%d}".format,
    "time": "{:%Y-%m-%d %H:%M:%S}".format,
    "text": str,
    "deleted": lambda value: "yes" if value else "no",
}


def shown(kind: str, value: Any) -> str:
    """A value as the page must show it."""
    return "\N{EN DASH}" if value is None else KINDS[kind](value)


def is_exported(text: str, value: Any) -> bool:
    """Whether a cell of a CSV is a value, in full."""
    if value is None or text == "":
        return value is None and text == ""
    if isinstance(value, datetime):
        return datetime.fromisoformat(text) == value.replace(tzinfo=None)
    if isinstance(value, date):
        return text == value.isoformat()
    if isinstance(value, bool):
        return text == str(value)
    return Decimal(text) == value if isinstance(value, int | Decimal) else text == value


@dataclass(frozen=True)
class Figures:
    """Some figures: SQL of one row, and the name and kind of each."""

    sql: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A table: its name, SQL, and of each column its heading, its name in the CSV, and its kind."""

    name: str
    sql: str
    columns: tuple[tuple[str, str, str], ...]


# The marts, as SQL on the bank, for the queries below.
MARTS = "with " + ",\n".join(f"{name} as ({sql})" for name, sql in GOLD.items() if name != "customer_profile")

_IN_PERIOD = "between %(from_date)s and %(to_date)s"
_OF_CATEGORY = "(%(category)s = 'all' or category = %(category)s)"
_MONEY = """
    sum(total_transactions), round(sum(total_transactions) / sum(transaction_count), 2),
    sum(total_debits), sum(total_credits), sum(transaction_count)
"""
_MONEY_COLUMNS = (
    ("Moved", "money_moved", "money"),
    ("Average", "average_transaction", "money"),
    ("Debits", "money_out", "money"),
    ("Credits", "money_in", "money"),
    ("Transactions", "transactions", "number"),
)
_BANK = f"from daily_transactions where transaction_date {_IN_PERIOD} and {_OF_CATEGORY}"
# One customer's transactions in the columns of daily_transactions.
_MINE = f"""
    from (
        select
            (transacted_at at time zone 'UTC')::date as transaction_date,
            category,
            amount as total_transactions,
            case when transaction_type = 'debit' then amount else 0 end as total_debits,
            case when transaction_type = 'credit' then amount else 0 end as total_credits,
            1 as transaction_count
        from customer_transactions
        where customer_id = %(customer_id)s
    ) as mine
    where transaction_date {_IN_PERIOD} and {_OF_CATEGORY}
"""
_PAYMENTS = """
    coalesce(sum(payments) filter (where status = 'scheduled'), 0),
    coalesce(sum(amount) filter (where status = 'scheduled'), 0),
    coalesce(sum(payments) filter (where status = 'scheduled' and due_date < %(today)s), 0),
    coalesce(sum(amount) filter (where status = 'scheduled' and due_date < %(today)s), 0),
    coalesce(sum(payments) filter (where status = 'executed'), 0),
    coalesce(sum(payments) filter (where status = 'failed'), 0),
    coalesce(sum(payments) filter (where status = 'cancelled'), 0),
    round(
        coalesce(sum(payments) filter (where status = 'failed'), 0)::numeric
        / sum(payments) filter (where status in ('executed', 'failed')), 4
    )
"""
_PAYMENT_COLUMNS = (
    ("Due", "scheduled_payments", "number"),
    ("Amount due", "scheduled_amount", "money"),
    ("Overdue", "overdue_payments", "number"),
    ("Amount overdue", "overdue_amount", "money"),
    ("Executed", "executed_payments", "number"),
    ("Failed", "failed_payments", "number"),
    ("Cancelled", "cancelled_payments", "number"),
    ("Failure rate", "payment_failure_rate", "share"),
)
_ALL_PAYMENTS = f"""
    from (
        select due_date, status, payment_count as payments, total_amount as amount from daily_scheduled_payments
    ) as due
    where due_date {_IN_PERIOD}
"""
_MY_PAYMENTS = f"""
    from (
        select due_date, status, 1 as payments, amount from customer_scheduled_payments
        where customer_id = %(customer_id)s
    ) as due
    where due_date {_IN_PERIOD}
"""


def figures_of(columns: tuple[tuple[str, str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Names and kinds of what is a row of a table elsewhere."""
    return tuple((label, kind) for label, _, kind in columns)


def transactions(source: str) -> list[Figures | Table]:
    """What the page of transactions shows of the bank, or of one customer."""
    day = (("Day", "transaction_date", "day"), *_MONEY_COLUMNS)
    category = (("Category", "category", "text"), *_MONEY_COLUMNS)
    return [
        Figures(f"select {_MONEY} {source}", figures_of(_MONEY_COLUMNS)),
        Table(
            "Transactions by day",
            f"select transaction_date, {_MONEY} {source} group by transaction_date order by transaction_date desc",
            day,
        ),
        Table(
            "Transactions by category",
            f"select category, {_MONEY} {source} group by category order by 2 desc, category",
            category,
        ),
    ]


def payments(source: str) -> list[Figures | Table]:
    """What the page of scheduled payments shows of the bank, or of one customer."""
    return [
        Figures(f"select {_PAYMENTS} {source}", figures_of(_PAYMENT_COLUMNS)),
        Table(
            "Payments by day",
            f"select due_date, {_PAYMENTS} {source} group by due_date order by due_date",
            (("Day", "due_date", "day"), *_PAYMENT_COLUMNS),
        ),
    ]


CUSTOMERS_OF_ALL_TIME = Table(
    "Customers of all time",
    """
    select
        customer_id, total_transactions, average_transaction, total_debits, total_credits, transaction_count
    from transaction_summary
    order by total_transactions desc, customer_id
    limit 50
    """,
    (
        ("Customer", "customer", "text"),
        *((label, f"lifetime_{name}", kind) for label, name, kind in _MONEY_COLUMNS),
    ),
)
FAILING = Table(
    "Payments that fail most",
    """
    select
        customer_id, failed_count, executed_count,
        round(failed_count::numeric / nullif(failed_count + executed_count, 0), 4), overdue_count, overdue_amount
    from scheduled_payments_summary
    order by failed_count desc, customer_id
    limit 20
    """,
    (
        ("Customer", "customer", "text"),
        ("Failed", "lifetime_failed_payments", "number"),
        ("Executed", "lifetime_executed_payments", "number"),
        ("Failure rate", "lifetime_payment_failure_rate", "share"),
        ("Overdue", "lifetime_overdue_payments", "number"),
        ("Amount overdue", "lifetime_overdue_amount", "money"),
    ),
)
OVERVIEW: list[Figures | Table] = [
    Figures(
        f"select sum(total_credits), sum(total_debits), sum(transaction_count) {_BANK}",
        (("Money in", "money"), ("Money out", "money"), ("Transactions", "number")),
    ),
    Figures(
        "select sum(latest_balance), count(*), count(*) filter (where updt_ts >= %(from_date)s) from customer_balance",
        (("Balance", "money"), ("Customers", "number"), ("Active customers", "number")),
    ),
    Table(
        "Money by day",
        "select transaction_date, sum(total_credits), sum(total_debits), sum(transaction_count)"
        f" {_BANK} group by transaction_date order by transaction_date desc",
        (
            ("Day", "transaction_date", "day"),
            ("Money in", "money_in", "money"),
            ("Money out", "money_out", "money"),
            ("Transactions", "transactions", "number"),
        ),
    ),
]
CUSTOMER: list[Figures | Table] = [
    Figures(
        """
        select latest_balance, scheduled_count, scheduled_amount, overdue_count, overdue_amount, failed_count
        from customer_balance left join scheduled_payments_summary using (customer_id)
        where customer_id = %(customer_id)s
        """,
        (
            ("Balance", "money"),
            ("Due", "number"),
            ("Amount due", "money"),
            ("Overdue", "number"),
            ("Amount overdue", "money"),
            ("Failed", "number"),
        ),
    ),
    Figures(
        f"select sum(total_credits), sum(total_debits), sum(transaction_count) {_MINE}",
        (("Money in", "money"), ("Money out", "money"), ("Transactions", "number")),
    ),
    Table(
        "Balance by day",
        f"""
        select balance_date, closing_balance from customer_balance_history
        where customer_id = %(customer_id)s and balance_date {_IN_PERIOD}
        order by balance_date desc
        """,
        (("Day", "balance_date", "day"), ("Balance", "closing_balance", "money")),
    ),
    Table(
        "Scheduled payments",
        f"""
        select
            due_date, payee,
            case when status = 'scheduled' and due_date < %(today)s then 'overdue' else status end, frequency, amount
        from customer_scheduled_payments
        where customer_id = %(customer_id)s and (status = 'scheduled' or due_date {_IN_PERIOD})
        order by due_date desc, payment_id desc
        limit 500
        """,
        (
            ("Due", "due_date", "day"),
            ("Payee", "payee", "text"),
            ("State", "state", "text"),
            ("Frequency", "frequency", "text"),
            ("Amount", "amount", "money"),
        ),
    ),
    Table(
        "Transactions",
        f"""
        select transacted_at, category, transaction_type, amount, account_id from customer_transactions
        where customer_id = %(customer_id)s and (transacted_at at time zone 'UTC')::date {_IN_PERIOD}
        order by transacted_at desc, transaction_id desc
        limit 500
        """,
        (
            ("Time (UTC)", "transacted_at", "time"),
            ("Category", "category", "text"),
            ("Type", "transaction_type", "text"),
            ("Amount", "amount", "money"),
            ("Account", "account_id", "text"),
        ),
    ),
]
_OF_PRODUCT = (
    f"from daily_purchases where purchase_date {_IN_PERIOD} and (%(product)s = 'all' or product = %(product)s)"
)
PRODUCTS: list[Figures | Table] = [
    Figures(
        f"select sum(quantity_sold)::bigint, sum(purchase_count)::bigint, count(distinct product) {_OF_PRODUCT}",
        (("Sold", "number"), ("Purchases", "number"), ("Products", "number")),
    ),
    Table(
        "Sales by product",
        f"""
        select
            product, sum(quantity_sold)::bigint,
            sum(quantity_sold) / sum(sum(quantity_sold)) over (), sum(purchase_count)::bigint
        {_OF_PRODUCT}
        group by product
        order by 2 desc, product collate "C"
        """,
        (
            ("Product", "product", "text"),
            ("Sold", "quantity_sold", "number"),
            ("Share", "share", "share"),
            ("Purchases", "purchases", "number"),
        ),
    ),
    Table(
        "Sales by day",
        f"select purchase_date, sum(quantity_sold)::bigint, sum(purchase_count)::bigint {_OF_PRODUCT}"
        " group by purchase_date order by purchase_date desc",
        (
            ("Day", "purchase_date", "day"),
            ("Sold", "quantity_sold", "number"),
            ("Purchases", "purchases", "number"),
        ),
    ),
]
PAGES: dict[str, list[Figures | Table]] = {
    "overview": OVERVIEW,
    "transactions": [*transactions(_BANK), CUSTOMERS_OF_ALL_TIME],
    "transactions of one": transactions(_MINE),
    "customer": CUSTOMER,
    "products": PRODUCTS,
    "payments": [*payments(_ALL_PAYMENTS), FAILING],
    "payments of one": payments(_MY_PAYMENTS),
}


@dataclass(frozen=True)
class Truth:
    """What the bank says, when asked with a page's filters."""

    stack: Stack
    parameters: dict[str, Any]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query over the marts as SQL on the bank."""
        with self.stack.connect() as connection:
            return connection.execute(f"{MARTS} {sql}".encode(), self.parameters).fetchall()

    def figures(self, page: str) -> dict[str, str]:
        """The page's figures as they must be shown."""
        expected = {}
        for figures in PAGES[page]:
            if isinstance(figures, Figures):
                (row,) = self.rows(figures.sql)
                named = zip(figures.columns, row, strict=True)
                expected.update({label: shown(kind, value) for (label, kind), value in named})
        return expected

    def values(self, page: str) -> dict[str, list[dict[str, Any]]]:
        """What the page's tables must hold, by the table's name: a value for each heading."""
        return {
            table.name: [
                {label: value for (label, _, _), value in zip(table.columns, row, strict=True)}
                for row in self.rows(table.sql)
            ]
            for table in PAGES[page]
            if isinstance(table, Table)
        }

    def tables(self, page: str) -> dict[str, list[dict[str, str]]]:
        """The page's tables as they must be shown."""
        kinds = {
            table.name: {label: kind for label, _, kind in table.columns}
            for table in PAGES[page]
            if isinstance(table, Table)
        }
        return {
            name: [{label: shown(kinds[name][label], value) for label, value in row.items()} for row in rows]
            for name, rows in self.values(page).items()
        }

    def charts(self, page: str) -> list[set[Drawn]]:
        """What the page's charts must draw."""
        tables = self.values(page)

        def lines(table: str, *labels: str) -> set[Drawn]:
            return {(f"{row['Day']}", label, float(row[label])) for row in tables[table] for label in labels}

        match page:
            case "overview":
                return [lines("Money by day", "Money in", "Money out")]
            case "transactions" | "transactions of one":
                return [lines("Transactions by day", "Credits", "Debits")]
            case "customer":
                return [lines("Balance by day", "Balance")]
            case "products":
                top = {(row["Product"], float(row["Sold"])) for row in tables["Sales by product"][:10]}
                return [top, lines("Sales by day", "Sold")]
            case _:
                counted = ("Due", "Executed", "Failed", "Cancelled")
                return [
                    {(f"{row['Day']}", float(sum(row[one] for one in counted))) for row in tables["Payments by day"]}
                ]
