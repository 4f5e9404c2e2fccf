"""`make live` for hours, and killed again and again: what it holds stays flat, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import bank
from benchmarks.chain import BenchmarkError, Chain
from benchmarks.latency import GoldWatcher, commit_changes, percentile
from benchmarks.live import PATIENCE, following, reconcile
from benchmarks.memory import size_of
from benchmarks.results import Figure, figure
from local.jars import JAVA
from local.services import LIVE
from local.stack import supervisor

# 20 changes a second: ten commits of two.
RATE = 10.0
SOAK_SECONDS = 7200.0
QUARTERS = 4
KILLS = 20
# Seconds between two kills: a cold start takes about a minute, a build some ten seconds.
KILL_AFTER = (5.0, 60.0)


@dataclass
class Quarter:
    """What a quarter of the soak ended with.

    Attributes:
        p50: seconds from commit to Gold, of the quarter's commits.
        p95: the same.
        heap: bytes of Spark's heap after a full collection.
        spark: bytes of Spark's process.
        live: bytes of the service's process.
        files: files of the tables, logs included, by table.
    """

    p50: float
    p95: float
    heap: int
    spark: int
    live: int
    files: dict[str, int]


def soak(chain: Chain, scale: float, say: Callable[[str], None]) -> list[Figure]:
    """Two hours of 20 changes a second, of which the last quarter is compared with the first.

    Args:
        chain: a stack whose bank is empty.
        scale: what the time is multiplied with.
        say: shows a line of progress.

    Raises:
        BenchmarkError: Gold is not what the bank says in the end.
    """
    quarters = list[Quarter]()
    with following(chain, say) as gold, chain.connect() as connection:
        watcher = GoldWatcher(gold, bank.one(connection, "select max(transaction_id) from transactions"))
        watcher.start()
        try:
            for number in range(1, QUARTERS + 1):
                committed = commit_changes(
                    connection, rate=RATE, seconds=SOAK_SECONDS * scale / QUARTERS, with_account=True
                )
                watcher.wait_for(list(committed), PATIENCE)
                found = [watcher.seen[row][0] - at for row, at in committed.items()]
                quarters.append(
                    Quarter(
                        percentile(found, 50),
                        percentile(found, 95),
                        heap_after_collection(pid_of(chain, "spark")),
                        size_of(psutil.Process(pid_of(chain, "spark"))),
                        size_of(psutil.Process(pid_of(chain, LIVE))),
                        files_of(chain.home.root / "warehouse"),
                    )
                )
                say(f"quarter {number}: {quarters[-1]}")
        finally:
            watcher.stop()
    say("nothing is lost: reconcile")
    reconcile(chain)
    first, last = quarters[0], quarters[-1]
    measures: list[tuple[str, float, float, str]] = [
        ("latency p50", last.p50, first.p50, "s"),
        ("latency p95", last.p95, first.p95, "s"),
        ("Spark's heap after a collection", last.heap, first.heap, "bytes"),
        ("memory of Spark", last.spark, first.spark, "bytes"),
        ("memory of the service", last.live, first.live, "bytes"),
        ("files of the table that has most", max(last.files.values()), max(first.files.values()), "files"),
        ("files of all tables", sum(last.files.values()), sum(first.files.values()), "files"),
    ]
    return [
        figure(
            f"make live for two hours at 20 changes a second, last quarter: {name}",
            [{"value": value, "reference": reference, "quarters": [vars(one) for one in quarters]}],
            unit=unit,
            goal="at most 1.15",
            against="its first quarter",
            note="Afterwards all tables are equal to the bank's." if name == "latency p50" else "",
        )
        for name, value, reference, unit in measures
    ]


def kills(chain: Chain, scale: float, say: Callable[[str], None]) -> list[Figure]:
    """SIGKILLs of the service at random moments while it works, without anything done by hand.

    Raises:
        BenchmarkError: it does not start again, or Gold is not what the bank says in the end.
    """
    chance = random.Random(20)
    stopping = threading.Event()
    count = max(2, round(KILLS * scale))

    def keep_changing() -> None:
        with chain.connect() as connection:
            while not stopping.is_set():
                commit_changes(connection, rate=RATE, seconds=1, with_account=True)

    with following(chain, say):
        changing = threading.Thread(target=keep_changing, daemon=True)
        changing.start()
        for number in range(1, count + 1):
            time.sleep(chance.uniform(*KILL_AFTER))
            killed = pid_of(chain, LIVE)
            os.kill(killed, signal.SIGKILL)
            deadline = time.monotonic() + 60
            while pid_of(chain, LIVE) in (0, killed):
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"make live was not started again after kill {number}")
                time.sleep(0.2)
            say(f"killed {number} of {count}")
        stopping.set()
        changing.join()
        # As long as the first build took: stopping it now would leave the last kill untested.
        time.sleep(max(KILL_AFTER))
    say("nothing is lost: reconcile")
    reconcile(chain)
    return [
        figure(
            "make live killed at random moments: kills after which all tables are equal to the bank's",
            [{"value": float(count), "reference": float(KILLS)}],
            unit="kills",
            goal="at least 1.0",
            against="the bar",
        )
    ]


def pid_of(chain: Chain, service: str) -> int:
    """A service's process id, 0 while it has none."""
    return int(supervisor(chain.home).getProcessInfo(service)["pid"])


def heap_after_collection(pid: int) -> int:
    """Bytes of a Java process's heap that a full collection leaves."""
    jcmd = str(Path(JAVA).with_name("jcmd"))
    subprocess.run([jcmd, str(pid), "GC.run"], check=True, capture_output=True)
    told = subprocess.run([jcmd, str(pid), "GC.heap_info"], check=True, capture_output=True, text=True).stdout
    return 1024 * sum(int(used) for used in re.findall(r"(?:PSYoungGen|ParOldGen).*?used (\d+)K", told))


def files_of(warehouse: Path) -> dict[str, int]:
    """How many files each table's folder has, by schema and table."""
    found = {}
    for table in warehouse.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            found[f"{table.parent.stem}.{table.name}"] = sum(one.is_file() for one in table.rglob("*"))
    return found
