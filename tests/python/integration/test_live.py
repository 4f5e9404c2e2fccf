"""`make live` on a stack of its own: Gold follows the bank whatever is killed; readers see the marts of one run."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pipeline import Stack, own_stack, wait_for
from rounds import kill

import source
from benchmarks.latency import PARTS, GoldWatcher, commit_changes, measure, percentile
from dashboard import Gold, Spark
from local.home import is_open
from local.services import LIVE
from local.stack import log_of, supervisor

# What transactions come to, read twice: by customer, and one by one.
TOTALS = """
select
    (select sum(total_transactions) from transaction_summary) as by_customer,
    (select sum(amount) from customer_transactions) as one_by_one,
    (select sum(transaction_count) from transaction_summary) as transactions
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack with a small bank that is captured, and nothing in Bronze yet."""
    with own_stack() as one, pytest.MonkeyPatch.context() as patch:
        now = datetime.now(UTC)
        source.migrate(one.database_url)
        source.load_history(one.database_url, seed=7, customers=40, days=30, until=now)
        source.start_capture(one.environment["CONNECT_URL"], one.database_url)
        one.wait_until_captured()
        for name, value in one.environment.items():
            patch.setenv(name, value)
        yield one


@pytest.fixture(scope="module")
def gold(stack: Stack) -> Iterator[Gold]:
    store = Spark("gold")
    yield Gold(store, "gold")
    if store._session is not None:
        store._session.stop()


@pytest.fixture(scope="module")
def live(stack: Stack) -> Iterator[Path]:
    """The service, started; its log."""
    log = log_of(stack.home, LIVE)
    supervisor(stack.home).startProcess(LIVE)
    wait_for(lambda: "Gold has everything" in log.read_text(), "the first build", seconds=300)
    yield log
    print(log.read_text())


def pid(stack: Stack) -> int:
    return int(stack.service(LIVE)["pid"])


def newest_transaction(stack: Stack) -> int:
    with stack.connect() as bank:
        row = bank.execute("select max(transaction_id) from transactions").fetchone()
    assert row is not None
    return int(row[0])


def test_others_that_write_are_told_who_does(stack: Stack, live: Path, tmp_path: Path) -> None:
    target = ("--target-path", str(tmp_path), "--log-path", str(tmp_path))
    for words in (("live",), ("ingestion",), ("dbt.cli.main", "run", *target)):
        refused = stack.run(*words)
        said = refused.stdout + refused.stderr
        assert refused.returncode != 0
        assert "Traceback" not in said
        who = rf"make live \(process {pid(stack)}\) has been running since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. One "
        assert len(re.findall(who, said)) == 1, said
    second = stack.run("local", "live")
    assert re.search(rf"^make live \(process {pid(stack)}\) has been running since ", second.stderr, re.MULTILINE)
    assert second.returncode == 1


def test_gold_follows_the_bank(stack: Stack, gold: Gold, live: Path, record_property: pytest.FixtureRequest) -> None:
    """The probe of `make bench`, for a minute: single changes, then two changes in each of five commits a second."""
    with stack.connect() as bank:
        for rate, seconds, with_account in ((0.1, 30.0, False), (5.0, 15.0, True)):
            found = measure(
                bank, gold, stack.spark, rate=rate, seconds=seconds, with_account=with_account, patience=240
            )
            assert len(found) == round(rate * seconds)
            for one in found:
                assert sum(one.parts.values()) == pytest.approx(one.total)
                assert one.total > 0
            middle = {part: percentile([one.parts[part] for one in found], 50) for part in PARTS}
            print(f"\n{rate:g} commits a second: {percentile([one.total for one in found], 50):.1f} s", middle)


def test_a_reader_sees_the_marts_of_one_run(stack: Stack, gold: Gold, live: Path) -> None:
    """While builds run, each look at what is published adds up. The tables as they are would not, at times."""
    watcher = GoldWatcher(gold, newest_transaction(stack))
    watcher.start()
    seen = set[tuple[int, int]]()
    try:
        with stack.connect() as bank:
            committed = commit_changes(bank, rate=10, seconds=15, with_account=False)
        while len(watcher.seen) < len(committed):
            publication = gold.published()
            assert publication is not None
            assert watcher.error is None
            row = gold.sql(TOTALS, publication).iloc[0]
            assert row.by_customer == row.one_by_one, publication
            assert isinstance(row.by_customer, Decimal)
            seen.add((publication.run_number, int(row.transactions)))
    finally:
        watcher.stop()
    assert len(seen) >= 2
    assert len({number for number, _ in seen}) == len(seen), "one run is one state"


def test_killed_at_any_moment_nothing_is_lost(stack: Stack, gold: Gold, live: Path) -> None:
    """The service three times, once in the middle of a build, and then Spark."""
    watcher = GoldWatcher(gold, newest_transaction(stack))
    watcher.start()
    committed = dict[int, float]()
    try:
        with stack.connect() as bank:
            for pause in (1.0, 5.0, 9.0):
                committed |= commit_changes(bank, rate=5, seconds=pause, with_account=True)
                killed = pid(stack)
                os.kill(killed, signal.SIGKILL)
                wait_for(lambda: stack.service(LIVE)["pid"] not in (0, killed), "it is started again")  # noqa: B023
            watcher.wait_for(list(committed), 300)
            watcher.stop()

            stack.forget_spark()
            kill(stack, "spark")
            wait_for(lambda: is_open(stack.home.ports()["spark"]), "Spark answers again")
            after = GoldWatcher(gold, newest_transaction(stack))
            committed = commit_changes(bank, rate=1, seconds=1, with_account=True)
        after.start()
        after.wait_for(list(committed), 300)
        after.stop()
    finally:
        watcher.stop()
    assert "Traceback" not in live.read_text()
    assert "Spark ended while this ran" in live.read_text()


def test_vacuum_leaves_what_is_published(stack: Stack, gold: Gold, live: Path) -> None:
    """A run that does not publish leaves new versions: the published ones keep their files, for as long as it takes."""
    supervisor(stack.home).stopProcess(LIVE)
    before = gold.published()
    assert before is not None
    totals = gold.sql(TOTALS, before).iloc[0].tolist()
    with stack.connect() as bank:
        commit_changes(bank, rate=5, seconds=1, with_account=True)
    source.wait_until_captured(stack.database_url)
    stack.ingest()
    stack.dbt("run", "--exclude", "published_marts")
    names = '{"names": ["stg_bank__transactions", "int_transaction_totals", "checking_accounts_history"]}'
    vacuum = ("run-operation", "vacuum_tables", "--args", names, "--vars", "{vacuum_hours: 0}")
    stack.dbt(*vacuum)
    assert gold.published() == before
    assert gold.sql(TOTALS, before).iloc[0].tolist() == totals
    stack.dbt("run")
    stack.dbt(*vacuum)
    after = gold.published()
    assert after is not None
    assert after.run_number > before.run_number
    assert gold.sql(TOTALS, after).iloc[0].transactions == totals[2] + 5
    stack.dbt("run-operation", "forget_publications", "--vars", "{publication_days: 0}")
    assert gold.published() == after
    assert len(stack.spark.sql("select distinct _run_number from gold.published_marts").collect()) == 1
    supervisor(stack.home).startProcess(LIVE)
    wait_for(lambda: live.read_text().rstrip().endswith(" s"), "it builds again", seconds=120)


def test_afterwards_gold_is_what_the_bank_says(stack: Stack, live: Path) -> None:
    supervisor(stack.home).stopProcess(LIVE)
    stack.wait_until_captured()
    stack.ingest()
    stack.dbt("run")
    assert live.read_text().splitlines()[-1].endswith("Stopped. Nothing is lost: make live goes on from here.")
    reconciled = stack.run("reconcile")
    assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
