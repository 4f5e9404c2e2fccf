"""`make live`: the service that keeps Gold behind the bank, as one more process of the stack."""

from __future__ import annotations

import contextlib
import signal
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from local.home import Home, StackError
from local.services import LIVE
from local.stack import log_of, supervisor


def live(home: Home) -> None:
    """Start the service, show what it says until Ctrl-C, then stop it. The supervisor starts it again if it ends.

    Raises:
        StackError: it runs already, or does not start.
    """
    known = state(home)
    if known["statename"] in ("RUNNING", "STARTING", "STOPPING"):
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(known["start"]))
        raise StackError(
            f"make live (process {known['pid']}) has been running since {since}. One process at a time follows the "
            f"bank. What it says is in {log_of(home, LIVE)}"
        )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    log = log_of(home, LIVE)
    position = log.stat().st_size if log.exists() else 0
    try:
        try:
            supervisor(home).startProcess(LIVE)
        except xmlrpc.client.Fault:
            raise StackError(last_line_of(log)) from None
        for line in lines_of(home, log, position):
            print(line, end="", flush=True)
    finally:
        with Console().status("Stopping: the build that runs is finished"), contextlib.suppress(xmlrpc.client.Fault):
            supervisor(home).stopProcess(LIVE)


def state(home: Home) -> dict[str, Any]:
    """What the supervisor knows of the service.

    Raises:
        StackError: nothing, as an older version of the project started the stack.
    """
    try:
        known: dict[str, Any] = supervisor(home).getProcessInfo(LIVE)
    except xmlrpc.client.Fault:
        raise StackError("An older version started this stack. Run: make down up, and then this again") from None
    return known


def lines_of(home: Home, log: Path, position: int) -> Iterator[str]:
    """The log's lines as they come, from a place on, while the supervisor keeps the service running."""
    rest = ""
    while True:
        # The supervisor begins a new file when one is full.
        if log.stat().st_size < position:
            position = 0
        with log.open(errors="replace") as file:
            file.seek(position)
            *lines, rest = (rest + file.read()).split("\n")
            position = file.tell()
        yield from (f"{line}\n" for line in lines)
        if state(home)["statename"] in ("FATAL", "STOPPED"):
            raise StackError(f"It has ended: {last_line_of(log)}")
        time.sleep(0.5)


def last_line_of(log: Path) -> str:
    """The last line of a log."""
    lines = log.read_text().strip().splitlines() if log.exists() else []
    return lines[-1] if lines else f"It does not start, and {log} does not say why"
