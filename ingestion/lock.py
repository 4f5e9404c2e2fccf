"""One writer at a time: a lock of the operating system's, which ends with the process that holds it, however that ends.

Bronze has one writer, and Silver and Gold have one. The lock's file says who holds it; what it says counts only while
the file is locked, so nothing has to be cleaned up after a `kill -9`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import SparkSession

from ingestion.errors import IngestionError
from ingestion.session import end_session, session_id

# The folder of the locks, from .local/env or .env. Without it there is no lock.
FOLDER = "WRITER_LOCKS"
# Seconds to wait for another writer; not set or 0 is not at all.
WAIT = "WRITER_WAIT"

_POLL_S = 0.2

# Locks of this process, which may ask for them again: file descriptor by path.
_held: dict[Path, int] = {}


def take_writer_lock(what: str, command: str, spark: SparkSession | None = None) -> Path | None:
    """Take the lock until `leave_writer_lock`, or until this process ends.

    What a killed holder left at work in the Spark server, statements and streaming queries, is stopped first.

    Args:
        what: what is written, such as `bronze` or `silver`.
        command: what a person calls this process, for the message that another one ends with.
        spark: the session that will write.

    Returns:
        What `leave_writer_lock` takes; None where this process has the lock already, or there are no locks.

    Raises:
        IngestionError: another process has it, and still had it after `WRITER_WAIT` seconds.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    path = Path(folder) / (re.sub(r"[^A-Za-z0-9_.-]", "_", what) + ".lock")
    if path in _held:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    wait = _seconds_to_wait()
    deadline = time.monotonic() + wait
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while not _locked(file):
        if time.monotonic() >= deadline:
            holder = _holder(file)
            os.close(file)
            raise IngestionError(
                f"{holder}. One process at a time writes {what}: run this again when that one has ended"
                + (f" (waited {wait:g} s)." if wait else f", or let it wait: {WAIT}=600 (seconds).")
            )
        time.sleep(_POLL_S)
    _held[path] = file
    left = _note(file).get("session")
    if left and spark is not None:
        end_session(left)
    note = {
        "command": command,
        "pid": os.getpid(),
        "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "session": session_id(spark) if spark is not None else None,
    }
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(note).encode(), 0)
    return path


def leave_writer_lock(path: Path | None) -> None:
    """Let the next writer in; None is a lock that was not taken."""
    if path is not None:
        file = _held.pop(path)
        os.ftruncate(file, 0)
        os.close(file)


@contextlib.contextmanager
def writer_lock(what: str, command: str, spark: SparkSession | None = None) -> Iterator[None]:
    """The lock for as long as the block takes; see `take_writer_lock`."""
    path = take_writer_lock(what, command, spark)
    try:
        yield
    finally:
        leave_writer_lock(path)


def _seconds_to_wait() -> float:
    text = os.environ.get(WAIT) or "0"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:  # "nan" is a float too, and would wait for ever
        raise IngestionError(f"{WAIT} is {text}. Write a number of seconds, such as 600.")
    return seconds


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: int) -> str:
    """Who has the lock. Between taking it and writing the note, nobody is named yet."""
    note = _note(file)
    if not note:
        return "Another process has just begun"
    return f"{note['command']} (process {note['pid']}) has been running since {note['since']}"


def _note(file: int) -> dict[str, str]:
    """What the holder wrote; empty where there is none, or the last one left."""
    try:
        note: dict[str, str] = json.loads(os.pread(file, 4096, 0))
    except ValueError:
        return {}
    return note
