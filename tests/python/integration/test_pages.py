"""The dashboard in a real browser: each number is the bank's own, by SQL on Postgres."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from pages import (
    PAGES,
    PATIENCE,
    Drawn,
    Reader,
    Table,
    Truth,
    browser_of_this_machine,
    is_exported,
    serving,
)
from pipeline import PROJECT, Stack, wait_for
from playwright.sync_api import Browser, expect, sync_playwright
from rounds import Bank, Round

import source

ADDRESSES = ["overview", "transactions", "customer", "products", "payments", "pipeline"]
expect.set_options(timeout=PATIENCE)

# What the README shows. SCREENSHOTS says where they go, from the project's folder.
PICTURES = {"overview-light", "payments-dark"}
SIZES = {"light": {}, "dark": {"color_scheme": "dark"}, "phone": {"viewport": {"width": 390, "height": 844}}}


# Purchases of the customer whose payments fail most: two categories within 20 days, and one of them also before that.
# So the filters of period and category change its page on any day.
BUY = """
insert into transactions (account_id, transaction_type, amount, category, transaction_date)
select min(account_id), 'debit', day, category, current_timestamp - make_interval(days => day)
from scheduled_payments
inner join checking_account using (account_id)
cross join (values (3, 'groceries'), (10, 'donations'), (25, 'groceries')) as bought (day, category)
where customer_id = (
    select customer_id
    from scheduled_payments inner join checking_account using (account_id)
    group by customer_id
    order by count(*) filter (where status = 'failed') desc, customer_id
    limit 1
)
group by day, category
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, closing(browser_of_this_machine(playwright)) as browser:
        yield browser


@pytest.fixture(scope="module")
def lively(stack: Stack, after_the_demo: Round) -> None:
    """A bank with something on each page: it is emptied, and lives two months anew. And a message that is spoiled."""
    tables = "customers, checking_account, transactions, scheduled_payments, purchase_trends"
    with stack.connect() as connection:
        connection.execute(f"truncate {tables}".encode())
    source.load_history(stack.database_url, seed=3, customers=80, days=60, until=datetime.now(UTC))
    with stack.connect() as connection:
        connection.execute(BUY.encode())
    stack.wait_until_captured()
    spoiled = b'{"op":"u","after":{"created_at":"yesterday"},"source":{"lsn":1}}'
    stack.send("bank.public.customers", [(b'{"customer_id":1}', spoiled)])
    stack.ingest()
    stack.dbt("build", "--resource-type", "model", "--resource-type", "snapshot")


@pytest.fixture(scope="module")
def address(stack: Stack, lively: None) -> Iterator[str]:
    """The dashboard's address."""
    with serving(stack) as address:
        yield address


@pytest.fixture(scope="module")
def reader(address: str, browser: Browser) -> Reader:
    return Reader.at(address, browser)


@pytest.fixture(scope="module")
def truth(stack: Stack, bank: Bank, lively: None) -> Truth:
    """The bank, with filters that let something through on each page: the customer whose payments fail most."""
    today = datetime.now(UTC).date()
    parameters = {
        "today": today,
        "snapshot_at": bank.snapshot_began,
        "from_date": today - timedelta(days=30),
        "to_date": today,
        "category": "all",
        "product": "all",
        "customer_id": None,
    }
    failing = Truth(stack, parameters).rows(
        "select customer_id from scheduled_payments_summary order by failed_count desc, customer_id limit 1"
    )
    return Truth(stack, {**parameters, "customer_id": failing[0][0]})


def narrowed(truth: Truth, **parameters: Any) -> Truth:
    return Truth(truth.stack, {**truth.parameters, **parameters})


def address_of(page: str, truth: Truth) -> str:
    """A page's address with its filters."""
    parameters = truth.parameters
    filters = {"from": parameters["from_date"], "to": parameters["to_date"]}
    name = page.split()[0]
    if name == "customer" or page.endswith("of one"):
        filters["customer"] = parameters["customer_id"]
    if name == "transactions" and parameters["category"] != "all":
        filters["category"] = parameters["category"]
    if name == "products" and parameters["product"] != "all":
        filters["product"] = parameters["product"]
    return f"{'' if name == 'overview' else name}?{urlencode(filters)}"


def assert_shows(reader: Reader, page: str, truth: Truth) -> None:
    """Every number of the page is the bank's."""
    expected = truth.figures(page)
    actual = reader.figures()
    assert {name: actual.get(name) for name in expected} == expected
    # What isn't compared is no number of the bank's.
    assert set(actual) - set(expected) <= {"Data as of"}
    tables = reader.tables()
    for name, rows in truth.tables(page).items():
        assert tables[name] == rows, name
    assert set(tables) - set(truth.tables(page)) <= {"Freshness", "History of changes"}


@pytest.mark.parametrize("page", list(PAGES))
def test_every_number_is_the_banks_own(reader: Reader, truth: Truth, page: str) -> None:
    reader.open(address_of(page, truth))
    assert all(truth.tables(page).values())
    assert_shows(reader, page, truth)


@pytest.fixture(scope="module")
def drawn(stack: Stack, truth: Truth) -> dict[str, list[set[Drawn]]]:
    """What the charts of each page draw."""
    addresses = [address_of(page, truth) for page in PAGES]
    result = stack.run("charts", *addresses, environment={"PYTHONPATH": str(Path(__file__).parent)})
    assert result.returncode == 0, result.stderr
    pages = [[{tuple(point.values()) for point in chart} for chart in page] for page in json.loads(result.stdout)]
    return dict(zip(PAGES, pages, strict=True))


@pytest.mark.parametrize("page", list(PAGES))
def test_charts_draw_the_banks_own_numbers(drawn: dict[str, list[set[Drawn]]], truth: Truth, page: str) -> None:
    assert drawn[page] == truth.charts(page)


@pytest.mark.parametrize(
    ("page", "table", "heading"),
    [
        ("transactions", "Transactions by category", "Category"),
        ("transactions of one", "Transactions by category", "Category"),
        ("products", "Sales by product", "Product"),
    ],
)
def test_filters_leave_what_they_say(reader: Reader, truth: Truth, page: str, table: str, heading: str) -> None:
    shorter = narrowed(truth, from_date=truth.parameters["today"] - timedelta(days=20))
    least = shorter.values(page)[table][-1][heading]
    fewer = narrowed(shorter, **{heading.lower(): least})
    assert all(fewer.tables(page).values())
    assert fewer.figures(page) != shorter.figures(page) != truth.figures(page)
    reader.open(address_of(page, fewer))
    assert_shows(reader, page, fewer)


def test_a_shorter_period_has_fewer_active_customers(reader: Reader, truth: Truth) -> None:
    shorter = narrowed(truth, from_date=truth.parameters["today"] - timedelta(days=1))
    figures = shorter.figures("overview")
    assert figures["Active customers"] != figures["Customers"] == truth.figures("overview")["Customers"]
    reader.open(address_of("overview", shorter))
    assert_shows(reader, "overview", shorter)


def test_filters_are_set_by_hand(reader: Reader, truth: Truth) -> None:
    """With the keyboard alone, and stay in the address."""
    page = reader.page
    reader.open("transactions")
    page.get_by_role("textbox", name="Customer").fill(str(truth.parameters["customer_id"]))
    page.keyboard.press("Enter")
    reader.settle()
    least = truth.values("transactions of one")["Transactions by category"][-1]["Category"]
    page.get_by_role("combobox", name="Category").focus()
    page.keyboard.type(least)
    page.keyboard.press("Enter")
    reader.settle()
    fewer = narrowed(truth, category=least)
    assert_shows(reader, "transactions of one", fewer)
    page.reload()
    reader.settle()
    assert_shows(reader, "transactions of one", fewer)


@pytest.mark.parametrize("page", [page for page in PAGES if not page.endswith("of one")])
def test_what_is_exported_is_what_is_shown_in_full(reader: Reader, truth: Truth, page: str) -> None:
    reader.open(address_of(page, truth))
    for table in PAGES[page]:
        if isinstance(table, Table):
            expected = truth.rows(table.sql)
            actual = reader.export(table.name)
            assert len(actual) == len(expected) > 0, table.name
            for row, values in zip(actual, expected, strict=True):
                assert list(row) == [name for _, name, _ in table.columns]
                # A share is calculated here, a NULL among them, and no more exact than a float.
                exact = [
                    is_exported(text, value) or (kind == "share" and abs(float(text) - float(value)) < 1e-9)
                    for text, value, (_, _, kind) in zip(row.values(), values, table.columns, strict=True)
                ]
                assert all(exact), (table.name, row, values)


def test_the_pipeline_page_is_silvers_own(reader: Reader, stack: Stack) -> None:
    bases = [model.stem for model in (PROJECT / "models/staging/bank/base").glob("*.sql")]
    assert len(bases) >= 5
    counted = [
        row
        for base in bases
        for row in stack.rows(
            "select count(*) as changes, count(_cdc_error) as quarantined, max(_cdc_committed_at) as newest"
            f" from silver.{base}"
        )
    ]
    reader.open("pipeline")
    shown = reader.figures()
    assert shown["Changes"] == f"{sum(row['changes'] for row in counted):,}"
    assert shown["Quarantined"] == f"{sum(row['quarantined'] for row in counted):,}" == "1"
    assert shown["Tables that drift"] == "0"
    tables = reader.tables()
    by_table = sorted(int(row["Changes"].replace(",", "")) for row in tables["Messages by table"])
    assert by_table == sorted(row["changes"] for row in counted)
    assert {row["Missing fields"] for row in tables["Messages by table"]} == {"\N{EN DASH}"}
    newest = max(row["newest"] for row in counted)
    assert max(row["Newest change (UTC)"] for row in tables["Freshness"]) == f"{newest:%Y-%m-%d %H:%M:%S}"
    runs = stack.rows("select sum(change_count) as changes from gold.pipeline_runs group by run_started_at")
    in_runs = [f"{row['changes']:,}" for row in runs]
    assert {row["Changes"] for row in tables["Last runs"]} <= {*in_runs}
    assert len(tables["Last runs"]) == min(20, len(runs))


def test_a_stranger_finds_whose_payments_fail_most(reader: Reader, truth: Truth) -> None:
    """And what their balance is doing: from the first page, in fewer than five clicks."""
    page = reader.page
    reader.open("")
    clicks = 0

    page.get_by_role("link", name="Scheduled payments").click()
    clicks += 1
    reader.settle()
    first = page.get_by_role("table", name="Payments that fail most").get_by_role("link").first
    number = first.inner_text()
    with reader.context.expect_page() as opened:
        first.click()
    clicks += 1
    profile = Reader(reader.address, reader.context, opened.value)
    profile.settle()

    assert number == str(truth.parameters["customer_id"])
    assert clicks < 5
    expect(profile.page.get_by_role("heading", name="Customer", exact=True)).to_be_visible()
    course = profile.page.locator(f"[role=graphics-document][aria-label^='Balance of customer {number} ']")
    expect(course).to_be_visible()
    assert_shows(profile, "customer", truth)
    profile.page.close()


def test_transactions_come_by_themselves(stack: Stack, address: str, browser: Browser, truth: Truth) -> None:
    """A page that is open shows a new transaction once dbt has run: nothing is clicked."""
    reader = Reader.at(address, browser)
    reader.open("transactions")
    before = reader.figures()
    with stack.connect() as connection:
        connection.execute(
            "insert into transactions (account_id, transaction_type, amount, category, transaction_date)"
            " select min(account_id), 'credit', 12345.67, 'live', now() from checking_account"
        )
        connection.execute(
            "update scheduled_payments set payee = 'Somebody else' where account_id in"
            " (select account_id from checking_account where customer_id = %(customer_id)s)",
            truth.parameters,
        )
    stack.wait_until_captured()
    stack.ingest()
    stack.dbt("run")
    expected = truth.figures("transactions")
    assert before != expected
    credits = reader.page.locator("[data-testid=stMetric]", has_text="Credits").locator("[data-testid=stMetricValue]")
    expect(credits).to_have_text(expected["Credits"])
    # The page may have refreshed itself in the middle of dbt's run, and does once more.
    wait_for(lambda: reader.tables() == truth.tables("transactions"), "all of the page is of now")
    assert_shows(reader, "transactions", truth)
    # No account changed, only what was to be paid from one.
    reader.open(address_of("customer", truth))
    assert "Somebody else" in {row["Payee"] for row in reader.tables()["Scheduled payments"]}
    assert_shows(reader, "customer", truth)
    reader.context.close()


@pytest.mark.parametrize("look", list(SIZES))
def test_a_page_can_be_read_by_all(address: str, browser: Browser, truth: Truth, look: str) -> None:
    """By axe's rules, in the light, in the dark and on a phone, with nothing wrong in the browser's own log."""
    reader = Reader.at(address, browser, **SIZES[look])
    pictures = os.environ.get("SCREENSHOTS")
    for page in ADDRESSES:
        reader.open(f"{'' if page == 'overview' else page}?customer={truth.parameters['customer_id']}")
        reader.page.wait_for_timeout(700)  # charts are drawn
        assert reader.violations() == [], page
        assert reader.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page
        assert (sum(reader.background()) < 3 * 128) == (look == "dark"), page
        if pictures and f"{page}-{look}" in PICTURES:
            reader.page.screenshot(path=Path(PROJECT, pictures, f"{page}-{look}.png"))
    assert reader.complaints == []
    reader.context.close()


def test_each_page_is_reached_by_keyboard(reader: Reader, truth: Truth) -> None:
    """And shows, as long as nothing is chosen, the last thirty days; of what is to be paid the next thirty too."""
    reader.open("")
    assert_shows(reader, "overview", truth)
    page = reader.page
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText").strip().endswith("Scheduled payments"):
            break
    page.keyboard.press("Enter")
    reader.settle()
    assert urlsplit(page.url).path == "/payments"
    expect(page.get_by_role("heading", name="Scheduled payments", exact=True)).to_be_visible()
    assert_shows(reader, "payments", narrowed(truth, to_date=truth.parameters["today"] + timedelta(days=30)))


def test_nothing_is_said_to_be_nothing(reader: Reader) -> None:
    page = reader.page
    for path in ("", "transactions", "products", "payments"):
        reader.open(f"{path}?from=2001-01-01&to=2001-01-02")
        expect(page.get_by_test_id("stAlert").first).to_contain_text("in this period")
    reader.open("customer")
    expect(page.get_by_test_id("stAlert")).to_contain_text("Write a customer's number")
    reader.open("customer?customer=987654321")
    expect(page.get_by_test_id("stAlert").first).to_contain_text("There is no customer 987654321")
    for text in ("x1", "99999999999", "\uff11\uff12"):
        reader.open(f"customer?{urlencode({'customer': text})}")
        expect(page.get_by_test_id("stAlert")).to_contain_text("is no customer's number")
    reader.open("transactions?from=2026-01-02&to=2026-01-01")
    expect(page.get_by_test_id("stAlert")).to_contain_text("ends before it begins")


class Gate:
    """A way to Spark that can be closed: a forwarder on loopback."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.to = to
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.open = threading.Event()
        self.open.set()
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            there = socket.create_connection(self.to)
            self.connections += [here, there]
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while received := one.recv(65536):
                self.open.wait()
                other.sendall(received)
        except OSError:
            pass

    def close(self) -> None:
        """Nothing listens here any more, and what was connected isn't."""
        for one in (self.listener, *self.connections):
            # A thread that waits for it would keep it open.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def test_a_page_waits_for_spark_and_says_when_it_is_gone(stack: Stack, browser: Browser, lively: None) -> None:
    remote = urlsplit(stack.environment["SPARK_REMOTE"])
    assert remote.hostname and remote.port
    gate = Gate((remote.hostname, remote.port))
    with serving(stack, {"SPARK_REMOTE": f"sc://localhost:{gate.port}"}) as address:
        reader = Reader.at(address, browser)
        gate.open.clear()
        reader.page.goto(f"{address}/products")
        expect(reader.page.get_by_text("Reading Gold")).to_be_visible()
        gate.open.set()
        reader.settle()
        assert reader.tables()["Sales by product"]

        gate.close()
        reader.page.goto(f"{address}/pipeline")
        alert = reader.page.get_by_test_id("stAlert")
        expect(alert).to_contain_text(
            f"Spark is not running at sc://localhost:{gate.port}. Start the local stack with: make up"
        )
        expect(reader.page.get_by_text("Traceback")).to_have_count(0)
        reader.context.close()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SPARK_REMOTE": "sc://127.0.0.1:9"}, "Spark is not running at sc://127.0.0.1:9."),
        ({"SPARK_REMOTE": ""}, "The local stack is not up. Start it with: make up"),
        ({"DBT_SCHEMA": "nobodys"}, "Gold isn't all there yet. Build it with: make ingest build"),
        ({"DBT_TARGET": "prod"}, "Set in the environment: DATABRICKS_HOST, DATABRICKS_HTTP_PATH"),
    ],
)
def test_what_the_user_can_mend_is_one_line(stack: Stack, environment: dict[str, str], said: str) -> None:
    result = stack.run("dashboard", "serve", "--port", "0", environment=environment)
    assert result.returncode == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
