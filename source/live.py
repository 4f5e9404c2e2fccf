"""The bank's day as it happens: events at a given rate, for a given time."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import psycopg

from source.bank import open_bank
from source.database import connect
from source.errors import SourceError, one_line


@dataclass(slots=True)
class Summary:
    """What a simulation did: how often each kind of event happened, and in how many seconds."""

    events: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def simulate(
    database_url: str,
    *,
    seed: int,
    rate: float,
    length: float,
    progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Live through some seconds of the bank's business, each event one database transaction stamped with now.

    The same seed on the same bank makes the same events; only their times differ. A bank without accounts
    opens some first. A bank of only the two plain tables sells, and moves its balances. Two simulations may
    run at once.

    Args:
        database_url: the bank, as its owner.
        seed: of all chance.
        rate: events a second, on average; they come irregularly, as customers do.
        length: seconds. A database that can't keep up makes it take longer, not do less.
        progress: called after each event with the summary so far.

    Raises:
        SourceError: an argument makes no sense, the schema isn't there, or the database can't be reached.
    """
    if rate <= 0 or length <= 0:
        raise SourceError("Rate (events a second) and length (seconds) must be more than zero.")
    rng, summary = Random(seed), Summary()
    with connect(database_url) as connection:
        connection.autocommit = True
        begun, due = time.monotonic(), 0.0
        try:
            bank = open_bank(connection, rng)
            summary.events.update(bank.first_events())
            while (due := due + rng.expovariate(rate)) < length:
                time.sleep(max(0.0, begun + due - time.monotonic()))
                summary.events[bank.next_event()] += 1
                summary.seconds = time.monotonic() - begun
                if progress is not None:
                    progress(summary)
        except psycopg.OperationalError as error:
            raise SourceError(f"The database went away: {one_line(error)}") from None
    return summary
