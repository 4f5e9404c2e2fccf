"""The days a bank has not lived yet, lived in a rush: events in the order of their times, and stamped with them."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from random import Random

import psycopg

from source.bank import Bank, Event, PlainBank, open_bank
from source.capture import is_whole
from source.database import HELD_BY_PYTHON, connect
from source.days import days_between, is_working_day
from source.errors import SourceError, one_line
from source.live import Summary
from source.lives import (
    FORESIGHT_DAYS,
    MISSED,
    PURCHASES_PER_CUSTOMER,
    Wish,
    a_life,
    bills,
    earning,
    floor,
    run_at,
    wishes,
)
from source.people import a_person
from source.spending import at_hour, poisson, purchases_of_day

LONGEST = timedelta(days=60)
"""What is further back than this isn't caught up with: the bank is taken to have been closed."""

_Planned = tuple[datetime, Event]


def behind(database_url: str, now: datetime) -> timedelta:
    """How long ago something last happened at the bank; zero where nothing ever did.

    Args:
        database_url: the bank, as its owner.
        now: with a time zone.

    Raises:
        SourceError: the schema isn't there, or the database can't be reached.
    """
    with connect(database_url) as connection:
        is_whole(connection)
        last = _last_moment(connection)
    return max(now - last, timedelta()) if last is not None else timedelta()


def catch_up(
    database_url: str,
    *,
    seed: int,
    until: datetime,
    progress: Callable[[datetime], None] | None = None,
) -> Summary:
    """Live through the time since something last happened at the bank, each event one database transaction.

    People go on as they did in the history: the same code plans their days, from what the books say of them.
    Every event is stamped with its own time, committed on its own and in the order of the times. The last is a
    purchase at `until` itself, by which a second call sees that nothing is left to do; a call that was broken
    off is continued by the next. Not to be run beside `simulate`, whose events end the gap.

    Args:
        database_url: the bank, as its owner. One without accounts has nothing to continue, and is left alone.
        seed: of all chance; the same seed on the same bank makes the same events.
        until: the end, with a time zone. At most the 60 days before it are lived.
        progress: called after each day with the time that the bank has reached.

    Raises:
        SourceError: `until` has no time zone, the schema isn't there, or the database can't be reached.
    """
    if until.tzinfo is None:
        raise SourceError("The end of the days to catch up with needs a time zone: give `until` in UTC.")
    until, begun, summary = until.astimezone(UTC), time.monotonic(), Summary()
    with connect(database_url) as connection:
        connection.autocommit = True
        try:
            # Whoever comes second waits, and then finds nothing left to do.
            connection.execute("select pg_advisory_lock(hashtext('source.catch_up'))")
            bank = open_bank(connection, Random(f"{seed} {until}"))
            last = _last_moment(connection)
            if last is None or last >= until:
                return summary
            # No commit waits for the disk: what a crash of the server loses, the next call makes again.
            connection.execute("set synchronous_commit = off")
            since = max(last, until - LONGEST)
            for day, events in _days(bank, seed, since, until):
                for at, event in events:
                    if since < at < until and (what := bank.happen(event, at)):
                        summary.events[what] += 1
                summary.seconds = time.monotonic() - begun
                if progress is not None:
                    progress(min(_midnight_after(day), until))
            summary.events[bank.happen(bank.sell, until) or "refused"] += 1
        except psycopg.OperationalError as error:
            raise SourceError(f"The database went away: {one_line(error)}") from None
    summary.seconds = time.monotonic() - begun
    return summary


def _last_moment(connection: psycopg.Connection) -> datetime | None:
    """When the bank, whole or plain, last sold something or changed a balance, of the times that Python can hold."""
    ((moved, sold),) = connection.execute(
        "select (select max(last_transaction_date at time zone 'UTC') from checking_account"
        f" where last_transaction_date {HELD_BY_PYTHON}),"
        f" (select max(purchase_date at time zone 'UTC') from purchase_trends where purchase_date {HELD_BY_PYTHON})"
    ).fetchall()
    return None if moved is None else max(moved, sold or moved)


def _days(bank: PlainBank, seed: int, since: datetime, until: datetime) -> Iterator[tuple[date, list[_Planned]]]:
    """Each day's events in order. A day is planned when the one before it is over, from what the bank is by then."""
    planned: list[_Planned] = []
    if isinstance(bank, Bank):
        # What people decided before, such as to bring something back to the shop, is still to come.
        for day in days_between(since - timedelta(days=FORESIGHT_DAYS), since - timedelta(days=1)):
            planned += _wishes(bank, seed, day)
    for day in days_between(since, until):
        planned += _business(bank, seed, day)
        if isinstance(bank, Bank):
            planned += _wishes(bank, seed, day)
            planned += _payments(bank, seed, day)
        planned.sort(key=lambda plan: plan[0])
        end = _midnight_after(day)
        yield day, [plan for plan in planned if plan[0] < end]
        planned = [plan for plan in planned if plan[0] >= end]


def _business(bank: PlainBank, seed: int, day: date) -> Iterator[_Planned]:
    """The shop's sales, and what is in nobody's plans."""
    shop, office = Random(f"{seed} shop {day}"), Random(f"{seed} office {day}")
    for product, quantity, at in purchases_of_day(shop, day, bank.shoppers() * PURCHASES_PER_CUSTOMER):
        yield at, partial(bank.sell_this, product, quantity)
    for event, a_day in bank.seldom():
        for _ in range(poisson(office, a_day * len(bank.accounts))):
            yield at_hour(office, day, 13, 3), event


def _wishes(bank: Bank, seed: int, day: date) -> Iterator[_Planned]:
    """What the day brings each household, and the bills it gets."""
    for accounts, category, amount, payday, orders in bank.households():
        # What somebody is like stays; what they do differs from day to day.
        character, rng = Random(f"{seed} account {accounts[0]}"), Random(f"{seed} {day} account {accounts[0]}")
        if category is None:
            person = a_person(character, 0, bank.now)
            income_class, income = person.income_class, person.income
        else:
            income_class, income = earning(category, int(amount * 100), int(payday))
        life = a_life(character, income_class, income, len(accounts), float(orders * 100))
        for wish in wishes(rng, life, day):
            yield wish.at, _wish(bank, accounts, wish)
        for bill in bills(rng, day):
            yield bill.at, partial(bank.arrange, accounts[0], bill.payee, bill.cents, bill.due)


def _wish(bank: Bank, accounts: list[int], wish: Wish) -> Event:
    account = accounts[wish.account]
    if wish.to is not None:
        return partial(bank.transfer_between, account, accounts[wish.to], -wish.cents, floor(wish.account))
    if wish.cents > 0:
        return partial(bank.credit, account, wish.cents, wish.category)
    return partial(bank.spend, account, -wish.cents, wish.category)


def _payments(bank: Bank, seed: int, day: date) -> Iterator[_Planned]:
    """The day's payment run, which leaves the same few payments out every time."""
    for payment in bank.due(day) if is_working_day(day) else ():
        rng = Random(f"{seed} payment {payment}")
        if rng.random() > MISSED:
            yield run_at(rng, day), partial(bank.pay, payment)


def _midnight_after(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
