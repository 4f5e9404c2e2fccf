"""The rounds of the bank's life, each the next one's past; every test of them looks at what they left."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from pipeline import Stack
from resets import Story, tell
from rounds import (
    Bank,
    Demos,
    Round,
    kill,
    read_until,
    reinsert_against_the_log,
    start_demo,
    wait_for_postgres,
)

import source

Commits = dict[str, tuple[int, str]]


@pytest.fixture(scope="session")
def bank(stack: Stack) -> Bank:
    bank = Bank(stack)
    bank.open()
    return bank


@pytest.fixture(scope="session")
def after_the_snapshot(bank: Bank) -> Round:
    """Round one: what was there when capture began, through all of `dbt build`."""
    return bank.round("build")


@pytest.fixture(scope="session")
def after_live_changes(bank: Bank, after_the_snapshot: Round) -> Round:
    """Round two: every kind of change, and some seconds of the simulator."""
    bank.play("2_live.psql")
    reinsert_against_the_log(bank.stack)
    source.simulate(bank.stack.database_url, seed=11, rate=80, length=6)
    bank.play("3_later.psql")
    return bank.round("run")


@pytest.fixture(scope="session")
def after_a_second_run(bank: Bank, after_live_changes: Round) -> Round:
    """Round three: a few customers' changes, which touch a few rows."""
    bank.play("4_second.psql")
    return bank.round("run")


@pytest.fixture(scope="session")
def idle_run(bank: Bank, after_a_second_run: Round) -> tuple[Commits, Commits]:
    """Every table's newest commit before and after a run with nothing new, by the table's name."""
    before = newest_commits(bank.stack)
    assert sum(bank.stack.ingest().values()) == 0
    bank.stack.dbt("run")
    return before, newest_commits(bank.stack)


def newest_commits(stack: Stack) -> Commits:
    """Version and operation of the newest commit of each Delta table in Silver and Gold."""
    commits = {}
    for schema in ("silver", "gold"):
        views = {row["viewName"] for row in stack.rows(f"show views in {schema}")}
        for row in stack.rows(f"show tables in {schema}"):
            if row["tableName"] not in views:
                name = f"{schema}.{row['tableName']}"
                newest = stack.rows(f"describe history {name} limit 1")[0]
                commits[name] = (newest["version"], newest["operation"])
    return commits


@pytest.fixture(scope="session")
def demos(bank: Bank, idle_run: object) -> Demos:
    """Connect and Postgres are killed while things go on, tables are emptied, and `make demo` goes on from there.

    It is killed, interrupted, and then left to end.
    """
    kill(bank.stack, "connect")
    bank.play("5_crash.psql")
    bank.stack.wait_until_captured()
    source.simulate(bank.stack.database_url, seed=12, rate=80, length=2)
    kill(bank.stack, "postgres")
    wait_for_postgres(bank.stack)
    bank.play("6_emptied.psql")

    killed = start_demo(bank.stack)
    read_until(killed, "Start capture by Debezium")
    killed.kill()
    killed.communicate()

    interrupted = start_demo(bank.stack)
    read_until(interrupted, "Start capture by Debezium")
    interrupted.send_signal(signal.SIGINT)
    interrupted_said = interrupted.communicate(timeout=60)

    whole = start_demo(bank.stack)
    whole_said = whole.communicate(timeout=400)
    return Demos(
        interrupted=subprocess.CompletedProcess(interrupted.args, interrupted.returncode, *interrupted_said),
        whole=subprocess.CompletedProcess(whole.args, whole.returncode, *whole_said),
    )


@pytest.fixture(scope="session")
def after_the_demo(bank: Bank, demos: Demos) -> Round:
    """Round four: what the demo made of all that."""
    assert demos.whole.returncode == 0, demos.whole.stdout + demos.whole.stderr
    return bank.look()


@pytest.fixture(scope="session")
def resets(stack: Stack) -> Iterator[Future[Story]]:
    """The story of `resets.py`, which is told in the background: much of it is waiting.

    No service may be killed before it has ended. Its session is its own: what others stop in theirs goes on.
    """
    with ThreadPoolExecutor() as pool:
        yield pool.submit(tell, replace(stack, _spark=None))


@pytest.fixture(scope="session")
def background(request: pytest.FixtureRequest) -> None:
    """For tests that others can be prepared beside: what is to be run at all of these has begun."""
    if any("resets" in item.fixturenames for item in request.session.items if isinstance(item, pytest.Function)):
        request.getfixturevalue("resets")
