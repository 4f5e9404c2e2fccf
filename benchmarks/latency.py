"""How far Gold is behind the bank, seen from outside: rows are committed in Postgres, and Gold is asked for them.

Gold is read as the dashboard reads it: by the versions that the last run published. All clocks are this machine's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import quantiles
from threading import Event, Thread
from typing import Any

import psycopg
from pyspark.sql import SparkSession

from dashboard import DashboardError, Gold

# What the probe's transactions are for, so that nobody takes them for the bank's.
CATEGORY = "latency probe"
# Seconds between two looks at Gold.
POLL = 0.5

PARTS = ("capture", "bronze", "wait", "build", "read")


@dataclass(frozen=True)
class Latency:
    """Seconds from a row's commit until a reader of Gold had it.

    Attributes:
        committed_at: seconds since 1970.
        total: from the commit until Gold's answer had the row.
        parts: of the total: until Kafka had the message (`capture`), until the micro-batch that landed it began
            (`bronze`), until the run of dbt began that built it (`wait`), until its marts were published (`build`), and
            until a reader had asked (`read`).
    """

    committed_at: float
    total: float
    parts: Mapping[str, float]


class GoldWatcher(Thread):
    """Asks Gold for new transactions until it is stopped, and keeps when it first had each."""

    def __init__(self, gold: Gold, after: int) -> None:
        super().__init__(name="gold-watcher", daemon=True)
        self.seen: dict[int, tuple[float, int]] = {}
        self.error: DashboardError | None = None
        self._gold = gold
        self._newest = after
        self._run = -1
        self._stopping = Event()

    def run(self) -> None:
        """Look now and then; a run that was seen already has nothing new."""
        while not self._stopping.is_set():
            try:
                self._look()
                self.error = None
            except DashboardError as error:
                # Spark was killed, say: a reader looks again.
                self.error = error
            self._stopping.wait(POLL)

    def _look(self) -> None:
        publication = self._gold.published()
        if publication is None or publication.run_number == self._run:
            return
        rows = self._gold.sql(
            f"select transaction_id from customer_transactions where transaction_id > {self._newest}", publication
        )
        now = time.time()
        for number in rows.transaction_id:
            self.seen[int(number)] = (now, publication.run_number)
        self._newest = max([self._newest, *map(int, rows.transaction_id)])
        self._run = publication.run_number

    def wait_for(self, numbers: Sequence[int], seconds: float) -> None:
        """Wait until Gold has had all of these.

        Raises:
            TimeoutError: it has not, by then.
        """
        deadline = time.monotonic() + seconds
        missing = list(numbers)
        while missing:
            # To look for each of many numbers takes a while.
            if len(self.seen) >= len(numbers) or time.monotonic() > deadline:
                missing = [number for number in missing if number not in self.seen]
            if missing and time.monotonic() > deadline:
                raise TimeoutError(
                    f"Gold lacks {len(missing)} of {len(numbers)} transactions after {seconds:.0f} s"
                    + (f": {self.error}" if self.error else "")
                )
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        self.join()


def commit_changes(
    bank: psycopg.Connection[Any], rate: float, seconds: float, *, with_account: bool
) -> dict[int, float]:
    """Commit transactions at a steady rate, each by itself.

    Args:
        bank: each statement is a transaction of its own, unless it says otherwise.
        rate: commits a second.
        seconds: for how long.
        with_account: whether each also changes the balance of its account, as the bank does: two changes in one commit.

    Returns:
        By the transaction's number, when it was committed: seconds since 1970.
    """
    accounts = [
        row[0]
        for row in bank.execute(
            "select account_id from checking_account where customer_id is not null order by account_id"
        )
    ]
    committed: dict[int, float] = {}
    began = time.monotonic()
    for number in range(max(1, round(rate * seconds))):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        account = accounts[number % len(accounts)]
        with bank.transaction():
            row = bank.execute(
                "insert into transactions (account_id, transaction_type, amount, category, transaction_date)"
                " values (%s, 'debit', 1.00, %s, now()) returning transaction_id",
                (account, CATEGORY),
            ).fetchone()
            if with_account:
                bank.execute(
                    "update checking_account set account_balance = account_balance - 1, last_transaction_date = now()"
                    " where account_id = %s",
                    (account,),
                )
        assert row is not None
        committed[row[0]] = time.time()
    return committed


def measure(
    bank: psycopg.Connection[Any],
    gold: Gold,
    spark: SparkSession,
    *,
    rate: float,
    seconds: float,
    with_account: bool = False,
    patience: float = 120.0,
) -> list[Latency]:
    """Commit transactions, wait until Gold has them all, and say how long each took.

    Raises:
        TimeoutError: Gold lacks one, `patience` seconds after the last commit.
    """
    newest = bank.execute("select coalesce(max(transaction_id), 0) from transactions").fetchone()
    assert newest is not None
    watcher = GoldWatcher(gold, newest[0])
    watcher.start()
    try:
        committed = commit_changes(bank, rate, seconds, with_account=with_account)
        watcher.wait_for(list(committed), patience)
    finally:
        watcher.stop()
    stamps = stamps_of(spark, min(committed))
    published = {
        row.run_number: row.published_at.timestamp()
        for row in spark.sql(
            "select _run_number as run_number, max(published_at) as published_at from gold.published_marts group by 1"
        ).collect()
    }
    return [
        latency_of(at, *watcher.seen[number], *stamps[number], published) for number, at in sorted(committed.items())
    ]


def stamps_of(spark: SparkSession, first: int) -> dict[int, tuple[float, float, float]]:
    """Of each transaction from a number on: when Kafka had it, when it landed, and when its run began (since 1970)."""
    rows = spark.sql(
        f"""
        select
            changes.transaction_id,
            messages.timestamp as sent_at,
            messages.ingested_at,
            changes._loaded_at as run_began_at
        from silver.base_bank__transaction_changes as changes
        inner join bronze.transactions as messages
            on
                changes._cdc_topic_life = messages.topic_life
                and changes._cdc_partition = messages.partition
                and changes._cdc_offset = messages.offset
        where changes.transaction_id >= {first} and changes._cdc_op = 'c'
        """
    ).collect()
    return {
        row.transaction_id: (row.sent_at.timestamp(), row.ingested_at.timestamp(), row.run_began_at.timestamp())
        for row in rows
    }


def latency_of(
    committed_at: float,
    seen_at: float,
    run_number: int,
    sent_at: float,
    ingested_at: float,
    run_began_at: float,
    published: Mapping[int, float],
) -> Latency:
    """The parts of a row's way."""
    times = [committed_at, sent_at, ingested_at, run_began_at, published[run_number], seen_at]
    parts = dict(zip(PARTS, (after - before for before, after in pairwise(times)), strict=True))
    return Latency(committed_at, seen_at - committed_at, parts)


def percentile(values: Sequence[float], percent: int) -> float:
    """A percentile of one or more values."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
