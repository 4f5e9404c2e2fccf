"""A bank with a past: months of its customers' lives, made up from a seed and loaded at once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random

import psycopg
from psycopg import sql

from source.capture import REPLICA_IDENTITY, existing_tables
from source.database import connect
from source.days import month_end, next_due, working_day_from, working_day_until
from source.errors import SourceError
from source.people import ONE_OFFS, Person, StandingOrder, a_person, first_due, standing_orders
from source.spending import (
    MEAN_CARD_AMOUNT,
    at_hour,
    card_day,
    card_payment,
    poisson,
    purchases_of_day,
)

OVERDRAFT = 50_000
"""How far below zero a current account may go, in cents; a debit beyond that is declined."""

PURCHASES_PER_CUSTOMER = 0.16
"""How many purchases a day the bank's shop sells per customer."""

_MISSED = 0.006
"""Part of the payments that the payment run leaves out: they stay scheduled, and are overdue."""


@dataclass(frozen=True, slots=True)
class History:
    """How many rows of each table were loaded."""

    customers: int
    accounts: int
    transactions: int
    scheduled_payments: int
    purchases: int


@dataclass(slots=True, eq=False)
class _Account:
    """Money in cents; `floor` is what the balance may fall to."""

    holder: str
    floor: int
    last_moved_at: datetime
    balance: int = 0
    number: int = 0


@dataclass(slots=True, eq=False)
class _Movement:
    """A row of `transactions`; `cents` is negative for a debit."""

    account: _Account
    at: datetime
    cents: int
    category: str
    number: int = 0


@dataclass(slots=True, eq=False)
class _Payment:
    """A row of `scheduled_payments`."""

    account: _Account
    payee: str
    cents: int
    frequency: str
    due: date
    created_at: datetime
    updated_at: datetime
    status: str = "scheduled"
    movement: _Movement | None = None


@dataclass(frozen=True, slots=True)
class _Intent:
    """Money that wants to move at a time; whether it does depends on the balance then."""

    at: datetime
    account: _Account
    cents: int
    category: str
    to: _Account | None = None
    payment: _Payment | None = None


@dataclass(slots=True, eq=False)
class _Household:
    """A customer and all that is theirs; unless `registered`, the accounts belong to no customer row."""

    person: Person
    registered: bool
    created_at: datetime
    opened_at: datetime
    accounts: list[_Account]
    movements: list[_Movement] = field(default_factory=list)
    payments: list[_Payment] = field(default_factory=list)


def load_history(database_url: str, *, seed: int, customers: int, days: int, until: datetime) -> History | None:
    """Fill an empty bank with its past, in one database transaction.

    The same arguments make the same rows, whatever the clock says. Each account's balance is the sum of its
    credits less its debits, the first of which is the opening balance (category `opening`). A bank of only
    the two plain tables gets the accounts and the purchases.

    Args:
        database_url: the bank, as its owner.
        seed: of all chance.
        customers: how many; two in a hundred more have accounts but aren't in the customer register.
        days: how far back the past goes.
        until: when it ends, with a time zone.

    Returns:
        What was loaded, or None where the bank has accounts already: then nothing is touched.

    Raises:
        SourceError: an argument makes no sense, the schema isn't there, or the database can't be reached.
    """
    if customers < 1 or days < 1:
        raise SourceError("A history needs at least one customer and one day.")
    if until.tzinfo is None:
        raise SourceError("The end of the history needs a time zone: give `until` in UTC.")
    with connect(database_url) as connection:
        tables = existing_tables(connection)
        if "checking_account" not in tables:
            raise SourceError("The bank has no tables yet. Make them with: python -m source migrate")
        connection.execute("lock table checking_account in share row exclusive mode")
        if connection.execute("select from checking_account limit 1").fetchone() is not None:
            return None
        until = until.astimezone(UTC)
        start = until - timedelta(days=days)
        households = sorted(
            (_household(seed, number, number <= customers, start, until) for number in _numbers(customers)),
            key=lambda household: household.created_at,
        )
        sales = [
            sale
            for day in _days(start, until)
            for sale in purchases_of_day(Random(f"{seed} shop {day}"), day, customers * PURCHASES_PER_CUSTOMER)
            if start <= sale[2] <= until
        ]
        return _load(connection, len(tables) == len(REPLICA_IDENTITY), households, sales)


def _numbers(customers: int) -> range:
    return range(1, customers + max(2, round(customers * 0.02)) + 1)


def _household(seed: int, number: int, registered: bool, start: datetime, until: datetime) -> _Household:
    """One customer's life between two times; it depends on no other customer's."""
    rng = Random(f"{seed} customer {number}")
    # Most were here before the history begins; the rest come as the bank grows.
    if rng.random() < 0.87:
        created_at = start - timedelta(days=rng.uniform(30, 9 * 365))
        opened_at = start + timedelta(hours=rng.random())
    else:
        created_at = opened_at = start + rng.random() * (until - start)
    person = a_person(rng, number, created_at)
    household = _Household(person, registered, created_at, opened_at, _accounts(rng, person, opened_at))
    orders = standing_orders(rng, person)
    intents = [
        *_openings(rng, household),
        *_income(rng, household, until),
        *_savings(rng, household, until),
        *_spending(rng, household, orders, until),
        *_payments(rng, household, orders, until),
        *_one_offs(rng, household, until),
    ]
    for intent in sorted(intents, key=lambda intent: intent.at):
        if opened_at <= intent.at <= until:
            _carry_out(household, intent)
    return household


def _accounts(rng: Random, person: Person, opened_at: datetime) -> list[_Account]:
    """A current account; for some a savings account as well, and for a few a household account they share."""
    accounts = [_Account(person.name, -OVERDRAFT, opened_at)]
    if rng.random() < 0.24 + 0.4 * person.income_class.saves:
        accounts.append(_Account(person.name, 0, opened_at))
        if rng.random() < 0.2:
            accounts.append(_Account(f"{person.name} (household)", -OVERDRAFT, opened_at))
    return accounts


def _openings(rng: Random, household: _Household) -> Iterator[_Intent]:
    """What each account holds when the history, or the account, begins."""
    for account, months in zip(household.accounts, (0.8, 3.0, 0.2), strict=False):
        cents = round(household.person.income * months * rng.lognormvariate(0, 0.7))
        yield _Intent(household.opened_at, account, cents, "opening")


def _income(rng: Random, household: _Household, until: datetime) -> Iterator[_Intent]:
    """Salaries, pensions and invoices."""
    person, account = household.person, household.accounts[0]
    payday = person.income_class.payday
    if payday == "invoices":
        for day in _days(household.opened_at, until):
            if working_day_from(day) == day and rng.random() < 3.5 / 21:
                cents = round(person.income / 3.5 * rng.lognormvariate(-0.18, 0.6))
                yield _Intent(at_hour(rng, day, 11, 3), account, cents, "invoice")
        return
    category = {"pensioner": "pension", "student": "allowance"}.get(person.income_class.name, "salary")
    for day in _paydays(payday, household.opened_at, until):
        cents = round(person.income * rng.gauss(1, 0.006))
        if category == "salary" and day.month == 12 and rng.random() < 0.4:
            cents += round(person.income * rng.uniform(0.2, 0.9))
        yield _Intent(at_hour(rng, day, 4.5, 0.7), account, cents, category)


def _paydays(payday: str, start: datetime, until: datetime) -> Iterator[date]:
    first = start.date().replace(day=1)
    while first <= until.date():
        if payday == "month_end":
            yield working_day_until(month_end(first))
        elif payday == "25th":
            yield working_day_until(first.replace(day=25))
        else:
            yield working_day_from(first)
        first = month_end(first) + timedelta(days=1)


def _savings(rng: Random, household: _Household, until: datetime) -> Iterator[_Intent]:
    """What goes to the other accounts each month, and now and then comes back."""
    person, (current, *others) = household.person, household.accounts
    for other, part in zip(others, (person.income_class.saves + 0.04, 0.22), strict=False):
        for day in _paydays("month_end", household.opened_at, until):
            cents = round(person.income * part * rng.uniform(0.7, 1.2) / 1000) * 1000
            after = day + timedelta(days=rng.randint(1, 3))
            if cents:
                yield _Intent(at_hour(rng, after, 9, 1.5), current, -cents, "transfer", to=other)
            if other.floor == 0 and rng.random() < 0.3:
                back = day - timedelta(days=rng.randint(1, 9))
                yield _Intent(at_hour(rng, back, 18, 2), other, -max(cents, 1000), "transfer", to=current)


def _spending(rng: Random, household: _Household, orders: list[StandingOrder], until: datetime) -> Iterator[_Intent]:
    """Card payments: freer after payday, and in all about what the income leaves."""
    person, accounts, opened_at = household.person, household.accounts, household.opened_at
    income_class = person.income_class
    habit = income_class.cards * rng.gammavariate(6, 1 / 6)
    fixed = sum(order.cents * (52 / 12 if order.frequency == "weekly" else 1) for order in orders)
    free = person.income * (1 - income_class.saves) * rng.uniform(0.88, 1.02) - fixed
    scale = min(max(free / (habit * 30.4 * MEAN_CARD_AMOUNT), 0.3), 4.5)
    rhythm = "month_end" if income_class.payday == "invoices" else income_class.payday
    paydays = list(_paydays(rhythm, opened_at - timedelta(days=40), until + timedelta(days=40)))
    for payday, following in pairwise(paydays):
        for day in (payday + timedelta(days=n) for n in range((following - payday).days)):
            if not opened_at.date() <= day <= until.date():
                continue
            mood = 1.3 if (day - payday).days < 4 else 0.88 if (following - day).days <= 7 else 1.0
            busy, _ = card_day(day.weekday(), day.month)
            for _ in range(poisson(rng, habit * busy * mood)):
                category, cents, at = card_payment(rng, day, scale)
                shared = len(accounts) == 3 and category.name == "groceries"
                account = accounts[2 if shared else 0]
                yield _Intent(at, account, -cents, category.name)
                if category.name == "shopping" and rng.random() < 0.05:
                    back = day + timedelta(days=rng.randint(3, 14))
                    yield _Intent(at_hour(rng, back, 10, 2), account, cents, "refund")


def _payments(rng: Random, household: _Household, orders: list[StandingOrder], until: datetime) -> Iterator[_Intent]:
    """Standing orders, carried out by the payment run at six in the morning of a working day."""
    account, opened_at = household.accounts[0], household.opened_at
    for order in orders:
        ends_at = None
        if rng.random() < 0.12:
            ends_at = opened_at + rng.random() * (until - opened_at)
        created_at, due = opened_at, first_due(order, opened_at.date())
        while created_at <= until:
            paid_at = at_hour(rng, working_day_from(due), 6.3, 0.1)
            payment = _Payment(account, order.payee, order.cents, order.frequency, due, created_at, created_at)
            household.payments.append(payment)
            if ends_at is not None and created_at <= ends_at < paid_at:
                payment.status, payment.updated_at = "cancelled", ends_at
                break
            if rng.random() > _MISSED:
                yield _Intent(paid_at, account, -order.cents, order.category, payment=payment)
            created_at, due = paid_at, next_due(due, order.frequency) or due


def _one_offs(rng: Random, household: _Household, until: datetime) -> Iterator[_Intent]:
    """Bills that come once: taxes, repairs, a holiday."""
    account, opened_at = household.accounts[0], household.opened_at
    months = (until - opened_at).days / 30
    for _ in range(poisson(rng, 0.22 * months)):
        payee, category, median = rng.choice(ONE_OFFS)
        created_at = opened_at + rng.random() * (until - opened_at)
        due = created_at.date() + timedelta(days=rng.randint(2, 30))
        cents = round(median * rng.lognormvariate(0, 0.6))
        payment = _Payment(account, payee, cents, "one_off", due, created_at, created_at)
        household.payments.append(payment)
        if rng.random() < 0.08:
            cancelled_at = created_at + rng.random() * timedelta(days=2)
            if cancelled_at <= until:
                payment.status, payment.updated_at = "cancelled", cancelled_at
        elif rng.random() > _MISSED:
            paid_at = at_hour(rng, working_day_from(due), 6.3, 0.1)
            yield _Intent(paid_at, account, -cents, category, payment=payment)


def _carry_out(household: _Household, intent: _Intent) -> None:
    """Move the money if there is enough; a payment says in its status whether there was."""
    if intent.cents < 0 and intent.account.balance + intent.cents < intent.account.floor:
        if intent.payment is not None:
            intent.payment.status, intent.payment.updated_at = "failed", intent.at
        return
    movement = _book(household, intent.account, intent.at, intent.cents, intent.category)
    if intent.to is not None:
        _book(household, intent.to, intent.at, -intent.cents, intent.category)
    if intent.payment is not None:
        intent.payment.status, intent.payment.updated_at = "executed", intent.at
        intent.payment.movement = movement


def _book(household: _Household, account: _Account, at: datetime, cents: int, category: str) -> _Movement:
    account.balance += cents
    account.last_moved_at = at
    movement = _Movement(account, at, cents, category)
    household.movements.append(movement)
    return movement


def _days(start: datetime, until: datetime) -> Iterator[date]:
    for number in range((until.date() - start.date()).days + 1):
        yield start.date() + timedelta(days=number)


def _load(
    connection: psycopg.Connection,
    whole: bool,
    households: Sequence[_Household],
    sales: Sequence[tuple[str, int, datetime]],
) -> History:
    """Number everything in the order in which it happened, and copy it in; `whole`: all tables exist."""
    owners = [(owner, account) for owner in households for account in owner.accounts]
    for number, (_, account) in enumerate(owners, 1):
        account.number = number
    customer_ids = {id(owner): n for n, owner in enumerate((h for h in households if h.registered), 1)}
    movements = sorted((m for h in households for m in h.movements), key=lambda movement: movement.at)
    for number, movement in enumerate(movements, 1):
        movement.number = number
    payments = sorted((p for h in households for p in h.payments), key=lambda payment: payment.created_at)

    _copy(
        connection,
        "purchase_trends",
        ("id", "product", "quantity", "purchase_date"),
        (
            (number, product, quantity, _naive(at))
            for number, (product, quantity, at) in enumerate(sorted(sales, key=lambda sale: sale[2]), 1)
        ),
    )
    if not whole:
        _copy(
            connection,
            "checking_account",
            ("account_id", "account_holder_name", "account_balance", "last_transaction_date"),
            ((a.number, a.holder, _money(a.balance), _naive(a.last_moved_at)) for _, a in owners),
        )
        return History(0, len(owners), 0, 0, len(sales))

    _copy(
        connection,
        "customers",
        ("customer_id", "full_name", "email", "kyc_notes", "created_at", "updated_at"),
        (
            (
                customer_ids[id(h)],
                h.person.name,
                h.person.email,
                h.person.kyc_notes,
                h.created_at,
                h.created_at,
            )
            for h in households
            if h.registered
        ),
    )
    _copy(
        connection,
        "checking_account",
        ("account_id", "account_holder_name", "account_balance", "last_transaction_date", "customer_id"),
        (
            (a.number, a.holder, _money(a.balance), _naive(a.last_moved_at), customer_ids.get(id(owner)))
            for owner, a in owners
        ),
    )
    _copy(
        connection,
        "transactions",
        ("transaction_id", "account_id", "transaction_type", "amount", "category", "transaction_date"),
        (
            (
                m.number,
                m.account.number,
                "credit" if m.cents > 0 else "debit",
                _money(abs(m.cents)),
                m.category,
                m.at,
            )
            for m in movements
        ),
    )
    _copy(
        connection,
        "scheduled_payments",
        (
            "payment_id",
            "account_id",
            "payee",
            "amount",
            "frequency",
            "status",
            "due_date",
            "transaction_id",
            "updated_at",
        ),
        (
            (
                number,
                p.account.number,
                p.payee,
                _money(p.cents),
                p.frequency,
                p.status,
                p.due,
                p.movement.number if p.movement else None,
                p.updated_at,
            )
            for number, p in enumerate(payments, 1)
        ),
    )
    return History(len(customer_ids), len(owners), len(movements), len(payments), len(sales))


def _copy(connection: psycopg.Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Copy the rows in and set the table's sequence, which feeds its first column, behind them."""
    names = {"table": sql.Identifier(table), "key": sql.Identifier(columns[0])}
    with connection.cursor() as cursor:
        with cursor.copy(
            sql.SQL("copy {table} ({columns}) from stdin").format(
                columns=sql.SQL(", ").join(map(sql.Identifier, columns)), **names
            )
        ) as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(
            sql.SQL(
                "select setval(pg_get_serial_sequence({literal}, {column}), coalesce(max({key}), 1),"
                " max({key}) is not null) from {table}"
            ).format(literal=sql.Literal(table), column=sql.Literal(columns[0]), **names)
        )


def _naive(at: datetime) -> datetime:
    """For a TIMESTAMP column, which holds UTC without saying so."""
    return at.replace(tzinfo=None)


def _money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
