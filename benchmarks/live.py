"""How far Gold is behind the bank while `make live` runs: single changes, a steady load, and a burst."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

import source
from benchmarks import bank
from benchmarks.chain import BenchmarkError, Chain
from benchmarks.latency import PARTS, GoldWatcher, Latency, measure, percentile
from benchmarks.results import Figure, figure
from dashboard import Gold, open_gold
from local.demo import CUSTOMERS, HISTORY, SEED
from local.services import LIVE
from local.stack import log_of, supervisor

# Spark and the builds are warm after some minutes, as they are in a service that runs for months.
WARM_SECONDS, WARM_RATE = 300.0, 0.2
# Commits a second. A build of a single change ends before the next change.
SINGLE_SECONDS, SINGLE_RATE = 600.0, 1 / 20
# Two changes in each commit.
STEADY_SECONDS, STEADY_RATE = 300.0, 25.0
BURST_ROWS, BURST_COMMIT = 200_000, 1000
# Seconds for Gold to have all, before the measurement fails.
PATIENCE = 900.0


@dataclass
class Course:
    """What the pictures show: seconds from commit to Gold, and how a burst is caught up.

    Attributes:
        latencies: of each load, seconds from each commit until Gold had it.
        committed: in the burst, seconds since its first commit, and how many rows had been committed.
        seen: in the burst, seconds since its first commit, and how many rows Gold had.
    """

    latencies: dict[str, list[float]] = field(default_factory=dict)
    committed: list[tuple[float, int]] = field(default_factory=list)
    seen: list[tuple[float, int]] = field(default_factory=list)


@contextlib.contextmanager
def following(chain: Chain, say: Callable[[str], None]) -> Iterator[Gold]:
    """The demo's bank, and `make live` on it from its first full build on; stopped at the end.

    Raises:
        BenchmarkError: Gold has not everything within ten minutes.
    """
    say("the demo's bank, and make live")
    database = chain.environment["DATABASE_URL"]
    source.load_history(database, seed=SEED, customers=CUSTOMERS, days=HISTORY.days, until=datetime.now(UTC))
    source.start_capture(chain.environment["CONNECT_URL"], database)
    chain.capture()
    log = log_of(chain.home, LIVE)
    supervisor(chain.home).startProcess(LIVE)
    try:
        deadline = time.monotonic() + 600
        while "Gold has everything" not in log.read_text():
            if time.monotonic() > deadline:
                raise BenchmarkError(f"Gold has not everything after ten minutes: {log.read_text()[-2000:]}")
            time.sleep(1)
        yield open_gold()
    finally:
        supervisor(chain.home).stopProcess(LIVE)


def reconcile(chain: Chain) -> None:
    """Bring Gold to the bank's last change, and compare all tables.

    Raises:
        BenchmarkError: a table is not what the bank says.
    """
    chain.capture()
    chain.ingest()
    chain.dbt_run()
    chain.command("reconcile")


def measure_live(chain: Chain, scale: float, say: Callable[[str], None]) -> tuple[list[Figure], Course]:
    """The figures, and what the pictures show.

    Args:
        chain: a stack whose bank is empty.
        scale: what the lengths and the burst are multiplied with.
        say: shows a line of progress.

    Raises:
        BenchmarkError: Gold lacks a row in the end.
    """
    course, figures = Course(), []
    with following(chain, say) as gold, chain.connect() as connection:

        def probe(rate: float, seconds: float, *, with_account: bool) -> list[Latency]:
            return measure(
                connection,
                gold,
                chain.spark,
                rate=rate,
                seconds=max(4 / rate, seconds * scale),
                with_account=with_account,
                patience=PATIENCE,
            )

        say("changes that warm it")
        probe(WARM_RATE, WARM_SECONDS, with_account=True)
        say("single changes")
        single = probe(SINGLE_RATE, SINGLE_SECONDS, with_account=False)
        figures += [
            latency_figure("commit to Gold, single changes", single, percent, bar)
            for percent, bar in ((50, 10), (95, 15))
        ]
        say("50 changes a second")
        steady = probe(STEADY_RATE, STEADY_SECONDS, with_account=True)
        figures.append(latency_figure("commit to Gold, 50 changes a second", steady, 95, 30))
        course.latencies = {
            "single changes": [one.total for one in single],
            "50 changes a second": [one.total for one in steady],
        }
        say("a burst")
        burst(connection, gold, max(BURST_COMMIT, round(BURST_ROWS * scale)), course)
    say("nothing is lost: reconcile")
    reconcile(chain)
    seconds, rows = course.seen[-1]
    figures.append(
        figure(
            "commit to Gold, a burst of 200,000 changes: caught up",
            [{"value": seconds, "reference": 300.0, "rows": rows}],
            goal="at most 1.0",
            against="the bar",
            note=f"{rows:,} rows in commits of {BURST_COMMIT:,}. Afterwards all tables are equal to the bank's.",
        )
    )
    return figures, course


def latency_figure(name: str, found: list[Latency], percent: int, bar: int) -> Figure:
    """A percentile against a bar in seconds, with the same percentile of each part."""
    parts = {part: round(percentile([one.parts[part] for one in found], percent), 2) for part in PARTS}
    return figure(
        f"{name}, p{percent}",
        [{"value": percentile([one.total for one in found], percent), "reference": float(bar), "parts": parts}],
        goal="at most 1.0",
        against="the bar",
        note=f"{len(found)} rows. Parts, each with its own p{percent}: "
        + ", ".join(f"{part} {seconds:.1f} s" for part, seconds in parts.items())
        + ".",
    )


def burst(connection: psycopg.Connection[object], gold: Gold, rows: int, course: Course) -> None:
    """Insert so many transactions as fast as Postgres takes them, and wait until Gold has them all."""
    first = bank.one(connection, "select max(transaction_id) from transactions") + 1
    watcher = GoldWatcher(gold, first - 1)
    watcher.start()
    began = time.time()
    try:
        for done in range(0, rows, BURST_COMMIT):
            connection.execute(
                "insert into transactions (account_id, transaction_type, amount, category, transaction_date)"
                " select account_id, 'debit', 1.00, 'burst', now()"
                " from (select account_id, row_number() over (order by account_id) as number from checking_account"
                " where customer_id is not null) as accounts"
                " cross join generate_series(1, %s) as n order by n, number limit %s",
                (BURST_COMMIT, min(BURST_COMMIT, rows - done)),
            )
            course.committed.append((time.time() - began, min(done + BURST_COMMIT, rows)))
        watcher.wait_for(range(first, first + rows), PATIENCE)
    finally:
        watcher.stop()
    times = sorted(at - began for at, _ in watcher.seen.values())
    course.seen = [(at, place + 1) for place, at in enumerate(times) if place + 1 == rows or times[place + 1] > at]
