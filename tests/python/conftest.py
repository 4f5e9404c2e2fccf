"""The embedded stack that tests share, with ports and state of its own, and which tests run in one process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pipeline import COMPARED, Stack, own_stack, wait_for

import local
import source
from local.home import USUAL_PORTS, is_free

# A shell starts background jobs with Ctrl-C ignored, and their child processes inherit that.
# `preexec_fn` can't undo it: since grpcio 1.80 it may crash in a process with an open channel (grpc/grpc#43055).
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a stack stay in one process, in their order. The bank's rounds have a stack of their own."""
    for item in items:
        fixtures = getattr(item, "fixturenames", [])
        group = item.path.name
        if "stack" in fixtures:
            group = "bank" if "bank" in fixtures or "databricks" in fixtures else "stack"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with a bank that has all its tables and no rows; capture has not begun.

    Postgres's usual port is taken when it comes up.
    """
    with contextlib.ExitStack() as opened:
        with (tmp_path_factory.getbasetemp().parent / "ports.lock").open("w") as lock:
            # Two stacks that choose their ports at the same time may choose the same.
            fcntl.flock(lock, fcntl.LOCK_EX)
            taken = opened.enter_context(socket.socket())
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_free(USUAL_PORTS["postgres"]):
                taken.bind(("127.0.0.1", USUAL_PORTS["postgres"]))
                taken.listen()
            stack = opened.enter_context(own_stack(keep_commit_times))
        source.migrate(stack.database_url)
        yield stack


def keep_commit_times(stack: Stack) -> None:
    """Let Postgres remember when each transaction was committed, which is what a change's time is compared with."""
    superuser = local.superuser_url(stack.home)
    with stack.connect(superuser) as connection:
        connection.execute("alter system set track_commit_timestamp = on")
    os.kill(stack.service("postgres")["pid"], signal.SIGINT)

    def is_back() -> bool:
        try:
            with stack.connect(superuser) as connection:
                return connection.execute("show track_commit_timestamp").fetchone() == ("on",)
        except psycopg.OperationalError:
            return False

    wait_for(is_back, "Postgres is started again")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where several processes run the tests, send the lines to the one that prints."""
    if COMPARED in session.config.stash and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["compared"] = session.config.stash[COMPARED]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Keep the lines that a process sent."""
    if "compared" in getattr(node, "workeroutput", {}):
        node.config.stash[COMPARED] = node.workeroutput["compared"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was compared on both targets, also where all is well."""
    if COMPARED in config.stash:
        terminalreporter.section("local and Databricks")
        for line in config.stash[COMPARED]:
            terminalreporter.write_line(line)
