"""A real Postgres of the tests' own, on a Unix socket, stopped by its process id afterwards."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from banks import PAST
from psycopg import conninfo, sql

from local.services import POSTGRES_BIN, POSTGRES_USER, make_room_for
from source import CAPTURE_ROLE, DATABASE, OWNER_ROLE, bootstrap, load_history, migrate

OWNER_PASSWORD = secrets.token_urlsafe(12)
CAPTURE_PASSWORD = secrets.token_urlsafe(12)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The superuser's URL of a server with logical decoding, which asks everybody for a password."""
    # Postgres refuses to run as root.
    user = POSTGRES_USER if os.geteuid() == 0 else None
    # Short, as the path of a Unix socket may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="bank", dir="/tmp") as temporary:
        folder, password = Path(temporary), secrets.token_urlsafe(12)
        (folder / "password").write_text(password)
        if user is not None:
            make_room_for(user, folder)
            shutil.chown(folder / "password", user)
        initdb: list[str | Path] = [POSTGRES_BIN / "initdb", "-D", folder / "data", "-U", "postgres"]
        initdb += ["-A", "scram-sha-256", "--pwfile", folder / "password", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, user=user, check=True, capture_output=True)
        postgres: list[str | Path] = [POSTGRES_BIN / "postgres", "-D", folder / "data", "-k", folder]
        postgres += ["--listen_addresses=", "--wal_level=logical", "--fsync=off"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(postgres, user=user, stdout=log, stderr=log)
        try:
            url = conninfo.make_conninfo(host=temporary, user="postgres", password=password, dbname="postgres")
            _wait_for(url, process)
            yield url
        finally:
            # "Fast": sessions still open are ended, not waited for.
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None, "Postgres did not start"
            time.sleep(0.05)
    raise TimeoutError("Postgres did not start within ten seconds")


@pytest.fixture(scope="session")
def server_log(server: str) -> Path:
    """Where the server writes down every statement it is sent."""
    return Path(str(conninfo.conninfo_to_dict(server)["host"])) / "log"


@pytest.fixture
def new_bank(server: str) -> Callable[[], str]:
    """Makes the bank anew, without any tables, and gives its owner's URL."""
    return partial(make_bank, server)


@pytest.fixture
def bank(new_bank: Callable[[], str]) -> str:
    """The owner's URL of a bank without any tables."""
    return new_bank()


@pytest.fixture
def capture(bank: str) -> str:
    """The same bank's URL for the capture role."""
    return conninfo.make_conninfo(bank, user=CAPTURE_ROLE, password=CAPTURE_PASSWORD)


@pytest.fixture(scope="session")
def past_bank(server: str) -> str:
    """A bank with a past, made once: to be read only."""
    bank = make_bank(server)
    migrate(bank)
    load_history(bank, **PAST)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("alter database {} rename to {}").format(*map(sql.Identifier, (DATABASE, "past"))))
    return conninfo.make_conninfo(bank, dbname="past")


@pytest.fixture
def new_whole_bank(server: str, past_bank: str) -> Callable[[], str]:
    """Makes the bank anew, with the same past, and gives its owner's URL."""
    return partial(make_bank, server, template=str(conninfo.conninfo_to_dict(past_bank)["dbname"]))


@pytest.fixture
def whole_bank(new_whole_bank: Callable[[], str]) -> str:
    """A bank with a past, to live on."""
    return new_whole_bank()


def make_bank(server: str, template: str | None = None) -> str:
    """The bank anew, empty or as a copy of another database: the owner's URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(DATABASE)))
        if template is not None:
            names = map(sql.Identifier, (DATABASE, template))
            connection.execute(sql.SQL("create database {} template {} strategy file_copy").format(*names))
    bootstrap(server, owner_password=OWNER_PASSWORD, capture_password=CAPTURE_PASSWORD)
    return conninfo.make_conninfo(server, dbname=DATABASE, user=OWNER_ROLE, password=OWNER_PASSWORD)
