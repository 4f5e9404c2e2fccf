"""A bank with a past: months of its customers' lives, made up from a seed and loaded at once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

import psycopg
from psycopg import sql

from source.capture import is_whole
from source.database import connect
from source.days import days_between, next_due, working_day_from
from source.errors import SourceError
from source.lives import (
    MISSED,
    PURCHASES_PER_CUSTOMER,
    WEEKS_A_MONTH,
    Wish,
    a_life,
    bills,
    floor,
    run_at,
    wishes,
)
from source.people import Person, StandingOrder, a_person, first_due, standing_orders
from source.spending import purchases_of_day


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
    """Money in cents."""

    holder: str
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


_Planned = tuple[Wish, _Payment | None]


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
        whole = is_whole(connection)
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
            for day in days_between(start, until)
            for sale in purchases_of_day(Random(f"{seed} shop {day}"), day, customers * PURCHASES_PER_CUSTOMER)
            if start <= sale[2] <= until
        ]
        return _load(connection, whole, households, sales)


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
    fixed = sum(order.cents * (WEEKS_A_MONTH if order.frequency == "weekly" else 1) for order in orders)
    life = a_life(rng, person.income_class, person.income, len(household.accounts), fixed)
    planned: list[_Planned] = [
        *((wish, None) for wish in _openings(rng, household)),
        *((wish, None) for day in days_between(opened_at, until) for wish in wishes(rng, life, day)),
        *_payments(rng, household, orders, until),
        *_one_offs(rng, household, until),
    ]
    for wish, payment in sorted(planned, key=lambda plan: plan[0].at):
        if opened_at <= wish.at <= until:
            _carry_out(household, wish, payment)
    return household


def _accounts(rng: Random, person: Person, opened_at: datetime) -> list[_Account]:
    """A current account; for some a savings account as well, and for a few a household account they share."""
    accounts = [_Account(person.name, opened_at)]
    if rng.random() < 0.24 + 0.4 * person.income_class.saves:
        accounts.append(_Account(person.name, opened_at))
        if rng.random() < 0.2:
            accounts.append(_Account(f"{person.name} (household)", opened_at))
    return accounts


def _openings(rng: Random, household: _Household) -> Iterator[Wish]:
    """What each account holds when the history, or the account, begins."""
    for account, months in zip(range(len(household.accounts)), (0.8, 3.0, 0.2), strict=False):
        cents = round(household.person.income * months * rng.lognormvariate(0, 0.7))
        yield Wish(household.opened_at, account, cents, "opening")


def _payments(rng: Random, household: _Household, orders: list[StandingOrder], until: datetime) -> Iterator[_Planned]:
    """Standing orders, carried out by the payment run on a working day."""
    account, opened_at = household.accounts[0], household.opened_at
    for order in orders:
        ends_at = None
        if rng.random() < 0.12:
            ends_at = opened_at + rng.random() * (until - opened_at)
        created_at, due = opened_at, first_due(order, opened_at.date())
        while created_at <= until:
            paid_at = run_at(rng, working_day_from(due))
            payment = _Payment(account, order.payee, order.cents, order.frequency, due, created_at, created_at)
            household.payments.append(payment)
            if ends_at is not None and created_at <= ends_at < paid_at:
                payment.status, payment.updated_at = "cancelled", ends_at
                break
            if rng.random() > MISSED:
                yield Wish(paid_at, 0, -order.cents, order.category), payment
            created_at, due = paid_at, next_due(due, order.frequency) or due


def _one_offs(rng: Random, household: _Household, until: datetime) -> Iterator[_Planned]:
    """Bills that come once; a few are called off again."""
    for day in days_between(household.opened_at, until):
        for bill in bills(rng, day):
            if not household.opened_at <= bill.at <= until:
                continue
            payment = _Payment(household.accounts[0], bill.payee, bill.cents, "one_off", bill.due, bill.at, bill.at)
            household.payments.append(payment)
            if rng.random() < 0.08:
                cancelled_at = bill.at + rng.random() * timedelta(days=1)
                if cancelled_at <= until:
                    payment.status, payment.updated_at = "cancelled", cancelled_at
            elif rng.random() > MISSED:
                yield Wish(run_at(rng, working_day_from(bill.due)), 0, -bill.cents, bill.category), payment


def _carry_out(household: _Household, wish: Wish, payment: _Payment | None) -> None:
    """Move the money if there is enough; a payment says in its status whether there was."""
    account = household.accounts[wish.account]
    if wish.cents < 0 and account.balance + wish.cents < floor(wish.account):
        if payment is not None:
            payment.status, payment.updated_at = "failed", wish.at
        return
    movement = _book(household, account, wish.at, wish.cents, wish.category)
    if wish.to is not None:
        _book(household, household.accounts[wish.to], wish.at, -wish.cents, wish.category)
    if payment is not None:
        payment.status, payment.updated_at = "executed", wish.at
        payment.movement = movement


def _book(household: _Household, account: _Account, at: datetime, cents: int, category: str) -> _Movement:
    account.balance += cents
    account.last_moved_at = at
    movement = _Movement(account, at, cents, category)
    household.movements.append(movement)
    return movement


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
