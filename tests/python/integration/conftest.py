"""The rounds of the bank's life, each the next one's past; every test of them looks at what they left."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from parity import Databricks, read_artifact, report
from pipeline import PROJECT, Commits, Stack
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
from warehouse import Warehouse

import source

PARITY = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def databricks(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Databricks]:
    """The same project in target `dev`, on a warehouse of the tests' own over the same Spark."""
    with Warehouse(stack.new_session, stack.work) as warehouse:
        databricks = Databricks(stack, warehouse)
        yield databricks
    if databricks.outcome:
        request.config.stash[PARITY] = report(databricks, version("dbt-databricks"))


@pytest.fixture(scope="session")
def bank(stack: Stack, request: pytest.FixtureRequest) -> Bank:
    """A bank whose rounds are run on Databricks too, if a test is to be run that compares the two."""
    bank = Bank(stack, request.getfixturevalue("databricks") if is_wanted(request, "databricks") else None)
    bank.open()
    return bank


@pytest.fixture(scope="session")
def after_the_snapshot(bank: Bank) -> Round:
    """Round one: what was there when capture began, through all of `dbt build`."""
    return bank.round("build", parity="first run")


@pytest.fixture(scope="session")
def after_live_changes(bank: Bank, after_the_snapshot: Round) -> Round:
    """Round two: every kind of change, and some seconds of the simulator. On Databricks dbt is run once more."""
    bank.play("2_live.psql")
    reinsert_against_the_log(bank.stack)
    source.simulate(bank.stack.database_url, seed=11, rate=80, length=6)
    bank.play("3_later.psql")
    after = bank.round("build", "--resource-type", "model", "--resource-type", "snapshot", parity="after changes")
    if bank.databricks:
        bank.databricks.run_again()
    return after


@pytest.fixture(scope="session")
def after_a_second_run(bank: Bank, after_live_changes: Round) -> Round:
    """Round three: a few customers' changes, which touch a few rows."""
    bank.play("4_second.psql")
    return bank.round("run")


@pytest.fixture(scope="session")
def idle_run(bank: Bank, after_a_second_run: Round) -> tuple[Commits, Commits]:
    """Every table's newest commit before and after a run with nothing new, by the table's name."""
    before = bank.stack.newest_commits("silver", "gold")
    assert sum(bank.stack.ingest().values()) == 0
    bank.dbt("run")
    return before, bank.stack.newest_commits("silver", "gold")


@pytest.fixture(scope="session")
def full_refresh(bank: Bank, idle_run: object) -> None:
    """All is built anew on both targets."""
    bank.dbt("run", "--full-refresh", parity="full refresh")


@pytest.fixture(scope="session")
def documented(databricks: Databricks, full_refresh: None) -> list[dict[str, dict[str, Any]]]:
    """What `dbt docs generate` and `dbt source freshness` wrote for each target, by the artefact's name."""
    for words in (("docs", "generate"), ("source", "freshness")):
        databricks.stack.dbt(*words)
        databricks.dbt(*words)
    places = (databricks.stack.work, databricks.work)
    return [{name: read_artifact(place, name) for name in ("catalog", "sources")} for place in places]


@pytest.fixture(scope="session")
def planted(
    databricks: Databricks, documented: object, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, int | str]:
    """What is compared after a run of a project that differs: dbt-spark has a macro of its own; another type."""
    copy = tmp_path_factory.mktemp("planted") / "project"
    shutil.copytree(
        PROJECT, copy, ignore=shutil.ignore_patterns(".venv", ".git", ".local", "target", "logs", "__pycache__")
    )
    substitute(
        copy / "macros" / "marts" / "days.sql",
        "{% macro today() -%}",
        "{% macro today() -%}{{ return(adapter.dispatch('today')()) }}{%- endmacro %}\n"
        "{% macro databricks__today() -%} date '2999-12-31' {%- endmacro %}\n"
        "{% macro spark__today() -%}",
    )
    substitute(
        copy / "models" / "marts" / "popular_products.sql", "sum(quantity)", "cast(sum(quantity) as decimal(20, 0))"
    )
    substitute(
        copy / "models" / "marts" / "_marts__models.yml",
        "How many were bought in all.\n        data_type: bigint",
        "How many were bought in all.\n        data_type: decimal(20, 0)",
    )
    views = ("popular_products", "customer_scheduled_payments")
    databricks.dbt("run", "--select", *views, folder=copy, work=databricks.work / "planted")
    return databricks.differences()


@pytest.fixture(scope="session")
def demos(bank: Bank, idle_run: object, request: pytest.FixtureRequest) -> Demos:
    """Connect and Postgres are killed while things go on, tables are emptied, and `make demo` goes on from there.

    It is killed, interrupted, and then left to end.
    """
    if is_wanted(request, "planted"):
        # The demo's run is the local target's alone.
        request.getfixturevalue("planted")
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
    if is_wanted(request, "resets"):
        request.getfixturevalue("resets")


def substitute(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def is_wanted(request: pytest.FixtureRequest, fixture: str) -> bool:
    """Whether a test that is to be run asks for a fixture."""
    return any(fixture in item.fixturenames for item in request.session.items if isinstance(item, pytest.Function))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was compared, also where all is well."""
    if PARITY in config.stash:
        terminalreporter.section("local and Databricks")
        for line in config.stash[PARITY]:
            terminalreporter.write_line(line)
