"""What the tests share: one embedded stack for all of them, with ports and state of its own."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import psycopg
import pytest
from pipeline import Stack, own_stack, wait_for

import local
import source
from local.home import USUAL_PORTS, is_free

# A shell starts background jobs with Ctrl-C ignored, and their child processes inherit that.
# `preexec_fn` can't undo it: since grpcio 1.80 it may crash in a process with an open channel (grpc/grpc#43055).
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A stack with a bank that has all its tables and no rows; capture has not begun.

    Postgres's usual port is taken when it comes up.
    """
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_free(USUAL_PORTS["postgres"]):
            taken.bind(("127.0.0.1", USUAL_PORTS["postgres"]))
            taken.listen()
        with own_stack(keep_commit_times) as stack:
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
