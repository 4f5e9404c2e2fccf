"""`make demo`: the whole chain once, from an empty bank to figures in Gold; run again, it goes on from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pyspark.sql import SparkSession
from rich import box
from rich.console import Console
from rich.table import Table

import ingestion
import source
from local.home import PROJECT, Home, StackError
from local.stack import superuser_url, up

SEED = 1
CUSTOMERS = 300
HISTORY = timedelta(days=180)
# The last days of the history happen while capture runs, so that balances have a course to show.
CAPTURED = timedelta(days=20)
LIVE_SECONDS = 10.0
LIVE_RATE = 30.0

GOLD = {
    "transaction_summary": "total_transactions desc",
    "customer_balance": "latest_balance desc",
    "customer_balance_history": "customer_id, balance_date desc",
    "popular_products": "total_quantity_sold desc",
    "scheduled_payments_summary": "overdue_amount desc",
    "customer_profile": "latest_balance desc",
}


class Stages:
    """Shows each stage while it runs, and remembers how long it took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, *, quiet: bool = False) -> Iterator[None]:
        """Show the stage until the block ends; a quiet one shows itself."""
        started = time.monotonic()
        with nullcontext() if quiet else self.console.status(name):
            yield
        self.seconds[name] = time.monotonic() - started
        self.console.print(f"[green]✓[/] {name} [dim]{self.seconds[name]:.1f} s[/]")


def demo(home: Home) -> None:
    """Bring up the stack and the bank, apply live changes, ingest, build, and print Gold.

    Raises:
        StackError, source.SourceError, ingestion.IngestionError: a stage failed; it can be run again.
    """
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a log has no width of its own
    stages = Stages(console)
    now = datetime.now(UTC)
    with stages.stage("Start Postgres, Kafka, Connect and Spark"):
        environment = up(home)
    os.environ.update(environment)
    database = environment["DATABASE_URL"]
    with stages.stage("Open the bank, with months of history"):
        open_bank(home, database)
        source.load_history(
            database,
            seed=SEED,
            customers=CUSTOMERS,
            days=(HISTORY - CAPTURED).days,
            until=now - CAPTURED,
        )
    with stages.stage("Start capture by Debezium"):
        left_out = source.start_capture(environment["CONNECT_URL"], database)
    for line in left_out:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    with stages.stage("Live through the last days, and some seconds of today, while capture runs"):
        source.catch_up(database, seed=SEED, until=now)
        source.simulate(database, seed=int(now.timestamp()), rate=LIVE_RATE, length=LIVE_SECONDS)
        source.wait_until_captured(database)
    with stages.stage("Ingest: Kafka to Bronze"):
        config = ingestion.Config.from_environment(os.environ)
        spark = ingestion.spark_session()
        with ingestion.writer_lock(config.schema, "make demo", spark):
            landed = ingestion.ingest_available(spark, config)
    with stages.stage("dbt build: Silver, Gold and their tests", quiet=True):
        build(console, environment)
    show_gold(console)
    show_summary(console, home, stages, landed)


def open_bank(home: Home, database_url: str) -> None:
    """Make the roles, the database and its tables, where they aren't there yet."""
    secrets = home.secrets()
    source.bootstrap(superuser_url(home), owner_password=secrets["owner"], capture_password=secrets["capture"])
    source.migrate(database_url)


def build(console: Console, environment: dict[str, str]) -> None:
    """Run `dbt build` in the project, showing how far it is; all it said is shown when it fails."""
    command = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "build"]
    said: list[str] = []
    with (
        console.status("dbt build") as progress,
        subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running,
    ):
        for line in running.stdout or ():
            said.append(line)
            if step := re.search(r"(\d+ of \d+) (?!START)", line):
                progress.update(f"dbt build: {step[1]}")
    if running.returncode != 0:
        console.print("".join(said), markup=False, highlight=False)
        raise StackError("dbt build failed, as told above. Mend it, then run: make build")


def show_gold(console: Console) -> None:
    """Print the first rows of each Gold table."""
    spark = SparkSession.builder.getOrCreate()
    for name, order in GOLD.items():
        rows = spark.sql(f"select * from gold.{name} order by {order} limit 5").drop("_loaded_at")
        first = rows.collect()
        table = as_table(name, rows.columns, first)
        if console.measure(table, options=console.options.update(width=10_000)).maximum > console.width:
            table = as_turned_table(name, rows.columns, first[:3])
        console.print(table)


def as_table(name: str, columns: list[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table as SQL shows it."""
    table = Table(title=f"gold.{name}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for position, column in enumerate(columns):
        is_number = all(isinstance(row[position], (int, Decimal)) for row in rows)
        table.add_column(column, justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*map(shown, row))
    return table


def as_turned_table(name: str, columns: list[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table too wide for the screen: a line for each column, its values beside it."""
    table = Table(title=f"gold.{name}", title_justify="left", title_style="bold", box=box.SIMPLE, show_header=False)
    table.add_column()
    for _ in rows:
        table.add_column(justify="right")
    for position, column in enumerate(columns):
        table.add_row(column, *(shown(row[position]) for row in rows))
    return table


def shown(value: object) -> str:
    """A value as a reader expects it: money with separators, times to the second, nothing for nothing."""
    if isinstance(value, Decimal):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return "" if value is None else str(value)


def show_summary(console: Console, home: Home, stages: Stages, landed: list[ingestion.Landed]) -> None:
    """Print how long each stage took, and where to look next."""
    for service, port in home.moved_ports().items():
        console.print(f"The usual port of {service} is taken: it listens on {port}.")
    console.print(
        f"{sum(one.rows for one in landed):,} messages landed in Bronze, {sum(stages.seconds.values()):.0f} s in all. "
        "The stack stays up. Where to look next:"
    )
    console.print("  source .venv/bin/activate           then dbt run, dbt test, dbt build as ever")
    console.print("  dbt docs generate && dbt docs serve  every table and column, and where it comes from")
    console.print("  make dashboard                       Gold in the browser")
    console.print("  make simulate ingest build           more of the bank's life")
    console.print("  make live                            Gold follows the bank, until Ctrl-C")
    console.print(f"  {home.env_file}  what leads to the services; make status, make logs")
    console.print("  make down                            stop it all; the data stays")
