"""What can happen at the bank, each event one database transaction."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from random import Random
from typing import Any, LiteralString

import psycopg

from source.capture import is_whole
from source.database import HELD_BY_PYTHON
from source.days import next_due
from source.lives import INCOME_CATEGORIES, OVERDRAFT, WEEKS_A_MONTH
from source.people import (
    CATEGORY_OF_PAYEE,
    ONE_OFFS,
    a_person,
    an_email,
    first_due,
    kyc_notes,
    standing_orders,
)
from source.spending import CARD, card_amount, purchase

_FIRST_CUSTOMERS = 10
_REMEMBERED = 500

# The payment run looks back a few days, such as from Monday to a Christmas on Thursday; what it missed for longer
# stays overdue until somebody sees to it.
_LOOKS_BACK = timedelta(days=4)

# Our transaction is rolled back whole.
_REFUSALS = (
    # Another session came in between, say a second simulation.
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.DeadlockDetected,
    # An account holds all that its column can.
    psycopg.errors.NumericValueOutOfRange,
)

Event = Callable[[], str | None]
"""Something that happens in the open transaction: it says what, or None if it found nothing to work on."""


class PlainBank:
    """A bank of two tables: it sells products and keeps balances, but no book of transactions."""

    def __init__(self, connection: psycopg.Connection, rng: Random) -> None:
        self.connection = connection
        self.rng = rng
        self.now = datetime.now(UTC)
        self.accounts = self._column("select account_id from checking_account order by 1")
        self.purchases = deque(
            self._column("select id from purchase_trends order by 1 desc limit %s", _REMEMBERED)[::-1],
            _REMEMBERED,
        )
        frequencies = self.frequencies()
        self._events = [event for event, _ in frequencies]
        self._weights = tuple(accumulate(weight for _, weight in frequencies))

    def frequencies(self) -> Sequence[tuple[Event, float]]:
        """What can happen here, and how often compared with the rest."""
        return (
            (self.move_balance, 60),
            (self.sell, 35),
            (self.correct_purchase, 3),
            (self.return_purchase, 2),
        )

    def seldom(self) -> Sequence[tuple[Event, float]]:
        """What happens on a day without being in anybody's plans, and how often per account."""
        return ((self.move_balance, 1.2), (self.correct_purchase, 0.004), (self.return_purchase, 0.0025))

    def shoppers(self) -> float:
        """How many people buy in the bank's shop; here, where nobody is registered, by the accounts."""
        return 0.7 * len(self.accounts)

    def first_events(self) -> list[str]:
        """Open the doors: a bank without accounts gets some."""
        return [self._now(self.join) for _ in range(0 if self.accounts else _FIRST_CUSTOMERS)]

    def next_event(self) -> str:
        """Let one thing happen, and say what."""
        (event,) = self.rng.choices(self._events, cum_weights=self._weights)
        return self._now(event)

    def _now(self, event: Event) -> str:
        return self.happen(lambda: event() or self.sell(), datetime.now(UTC)) or "refused"

    def happen(self, event: Event, at: datetime) -> str | None:
        """Let this happen in a database transaction of its own, stamped with a time; None if nothing came of it."""
        self.now = at
        try:
            with self.connection.transaction():
                return event()
        except _REFUSALS:
            return None

    def sell(self) -> str:
        """Sell something in the bank's shop; always possible, so it stands in for what isn't."""
        return self.sell_this(*purchase(self.rng))

    def sell_this(self, product: str, quantity: int) -> str:
        """Sell so many of a product."""
        self.purchases.append(
            self._number(
                "insert into purchase_trends (product, quantity, purchase_date) values (%s, %s, %s) returning id",
                product,
                quantity,
                self.now,
            )
        )
        return "purchase"

    def correct_purchase(self) -> str | None:
        """Somebody changed their mind about how many."""
        changed = self.purchases and self._changes(
            "update purchase_trends set quantity = quantity %% 5 + 1 where id = %s",
            self.rng.choice(self.purchases),
        )
        return "purchase_corrected" if changed else None

    def return_purchase(self) -> str | None:
        """Somebody brought it back: the row goes."""
        changed = self.purchases and self._changes(
            "delete from purchase_trends where id = %s", self.rng.choice(self.purchases)
        )
        return "purchase_returned" if changed else None

    def join(self) -> str:
        """An account for somebody new."""
        person = a_person(self.rng, len(self.accounts) + 1, self.now)
        self._open_account(person.name, round(person.income * self.rng.lognormvariate(0, 0.7)))
        return "account_opened"

    def move_balance(self) -> str | None:
        """Money comes or goes, and only the balance knows of it."""
        if not self.accounts:
            return None
        cents = card_amount(self.rng, self.rng.choice(CARD), 1.0)
        account, sign = self.rng.choice(self.accounts), self.rng.choice((-1, 1))
        return "balance_moved" if self._move(account, sign * cents) else "declined"

    def _open_account(self, holder: str, cents: int) -> int:
        account = self._number(
            "insert into checking_account (account_holder_name, account_balance, last_transaction_date)"
            " values (%s, %s, %s) returning account_id",
            holder,
            _money(cents),
            self.now,
        )
        self.accounts.append(account)
        return account

    def _move(self, account: int, cents: int, *, floor: int | None = -OVERDRAFT) -> bool:
        """Change a balance, unless the account is gone or a debit would take it below the floor, if it has one.

        Asking and taking are one statement, so that two sessions can't both spend the last of it.
        """
        return self._changes(
            "update checking_account set account_balance = account_balance + %s, last_transaction_date = %s"
            " where account_id = %s and account_balance + %s >= %s",
            _money(cents),
            self.now,
            account,
            _money(cents),
            _money(floor) if cents < 0 and floor is not None else Decimal("-Infinity"),
        )

    def _rows(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, values).fetchall()

    def _column(self, query: LiteralString, *values: object) -> list[int]:
        return [row[0] for row in self._rows(query, *values)]

    def _number(self, query: LiteralString, *values: object) -> int:
        return self._column(query, *values)[0]

    def _changes(self, statement: LiteralString, *values: object) -> bool:
        return self.connection.execute(statement, values).rowcount > 0


class Bank(PlainBank):
    """The whole bank: whenever a transaction ends, each balance is its account's credits less its debits."""

    def __init__(self, connection: psycopg.Connection, rng: Random) -> None:
        super().__init__(connection, rng)
        self.customers = self._column("select customer_id from customers order by 1")
        self.transactions = deque(
            self._column(
                # Not what a payment made: that one would then speak of a debit that is another or none.
                "select transaction_id from transactions where category = any(%s) and transaction_id not in"
                " (select transaction_id from scheduled_payments where transaction_id is not null)"
                " order by 1 desc limit %s",
                [category.name for category in CARD],
                _REMEMBERED,
            )[::-1],
            _REMEMBERED,
        )
        # How dearly each account's holder lives: what it pays for groceries against what everybody does.
        self.scales = {
            account: float(scale)
            for account, scale in self._rows(
                "select account_id, least(4, avg(amount) /"
                " (select avg(amount) from transactions where category = %s))"
                " from transactions where category = %s group by 1 order by 1",
                "groceries",
                "groceries",
            )
        }
        self.spenders = list(self.scales)

    def frequencies(self) -> Sequence[tuple[Event, float]]:
        """What can happen here, and how often compared with the rest."""
        return (
            (self.pay_by_card, 50),
            (self.sell, 16),
            (self.receive, 8),
            (self.pay_what_is_due, 7),
            (self.correct_transaction, 3.5),
            (self.change_email, 4),
            (self.transfer, 2.5),
            (self.schedule, 3),
            (self.cancel, 1),
            (self.remove_transaction, 1.5),
            (self.join, 0.9),
            (self.correct_purchase, 0.9),
            (self.return_purchase, 0.6),
            (self.review, 0.5),
            (self.open_another_account, 0.4),
            (self.leave, 0.4),
        )

    def seldom(self) -> Sequence[tuple[Event, float]]:
        """What happens on a day without being in anybody's plans, and how often per account."""
        return (
            (self.correct_transaction, 0.015),
            (self.remove_transaction, 0.006),
            (self.correct_purchase, 0.004),
            (self.return_purchase, 0.0025),
            (self.change_email, 0.003),
            (self.cancel, 0.002),
            (self.review, 0.001),
            (self.join, 0.0006),
            (self.leave, 0.0003),
            (self.open_another_account, 0.0003),
        )

    def shoppers(self) -> float:
        """How many people buy in the bank's shop."""
        return len(self.customers)

    def households(self) -> list[tuple[Any, ...]]:
        """Who has which accounts, and what the books say of their means.

        Returns:
            Numbers of the accounts, the oldest first; of the first of them the usual category, amount and day of the
            month of the income (None without one), and what its standing orders take in a month.
        """
        return self._rows(
            f"""
            with households as (
                select min(account_id) as account_id, array_agg(account_id order by account_id) as accounts
                from checking_account
                group by coalesce(customer_id::text, replace(account_holder_name, ' (household)', ''))
            ),
            incomes as (
                select
                    account_id,
                    mode() within group (order by category) as category,
                    percentile_disc(0.5) within group (order by amount) as amount,
                    percentile_disc(0.5) within group (order by extract(day from transaction_date)) as day
                from transactions
                where transaction_type = 'credit' and category = any(%s) and transaction_date {HELD_BY_PYTHON}
                group by account_id
            ),
            orders as (
                select account_id, sum(case frequency when 'weekly' then %s else 1 end * amount) as amount
                from scheduled_payments
                where status = 'scheduled' and frequency <> 'one_off'
                group by account_id
            )
            select accounts, incomes.category, incomes.amount, incomes.day, coalesce(orders.amount, 0)
            from households
            left join incomes using (account_id)
            left join orders using (account_id)
            order by account_id
            """,
            list(INCOME_CATEGORIES),
            Decimal(WEEKS_A_MONTH),
        )

    def pay_by_card(self) -> str | None:
        """Somebody shops, if the account has the money."""
        if not self.spenders:
            return None
        account = self.rng.choice(self.spenders)
        (category,) = self.rng.choices(CARD, [category.share for category in CARD])
        return self.spend(account, card_amount(self.rng, category, self.scales[account]), category.name)

    def spend(self, account: int, cents: int, category: str) -> str:
        """A card payment, which may be corrected or taken back later."""
        transaction = self._book(account, -cents, category)
        if transaction is None:
            return "declined"
        self.transactions.append(transaction)
        return "card_payment"

    def receive(self) -> str | None:
        """Money comes in."""
        if not self.accounts:
            return None
        (income,) = self.rng.choices(_INCOMES, [share for _, share, _, _ in _INCOMES])
        category, _, median, sigma = income
        cents = max(1, round(self.rng.lognormvariate(math.log(median), sigma)))
        return self.credit(self.rng.choice(self.accounts), cents, category)

    def credit(self, account: int, cents: int, category: str) -> str | None:
        """Money comes in on an account, if that is still there."""
        return "credit" if self._book(account, cents, category) is not None else None

    def transfer(self) -> str | None:
        """Money goes from one account to another."""
        if len(self.accounts) < 2:
            return None
        payer, payee = self.rng.sample(self.accounts, 2)
        return self.transfer_between(payer, payee, self.rng.randint(2, 40) * 1000)

    def transfer_between(self, payer: int, payee: int, cents: int, floor: int = -OVERDRAFT) -> str:
        """Take from one account, down to its floor, and give to the other."""
        # Both are locked in the order of their numbers, lest two transfers wait for each other.
        locked = self._rows(
            "select from checking_account where account_id = any(%s) order by account_id for update",
            [payer, payee],
        )
        if len(locked) < 2 or self._book(payer, -cents, "transfer", floor) is None:
            return "declined"
        self._book(payee, cents, "transfer")
        return "transfer"

    def correct_transaction(self) -> str | None:
        """A wrong amount is put right, and the balance with it."""
        if not self.transactions:
            return None
        number, factor = self.rng.choice(self.transactions), self.rng.uniform(0.4, 1.6)
        found = self._rows(
            "select account_id, amount from transactions"
            " where transaction_id = %s and transaction_type = 'debit' for update",
            number,
        )
        if not found:
            return None
        ((account, amount),) = found
        old = _cents(amount)
        new = max(1, round(old * factor))
        self._move(account, old - new, floor=None)
        self._changes("update transactions set amount = %s where transaction_id = %s", _money(new), number)
        return "transaction_corrected"

    def remove_transaction(self) -> str | None:
        """A debit that never should have been is taken back whole."""
        found = self.transactions and self._rows(
            "delete from transactions where transaction_id = %s and transaction_type = 'debit'"
            " returning account_id, amount",
            self.rng.choice(self.transactions),
        )
        if not found:
            return None
        ((account, amount),) = found
        self._move(account, _cents(amount), floor=None)
        return "transaction_removed"

    def pay_what_is_due(self) -> str | None:
        """Carry out the payment that is due longest, or fail it."""
        found = self.due(self.now.date(), 1)
        return self.pay(found[0]) if found else None

    def due(self, day: date, most: int | None = None) -> list[int]:
        """The payments the bank would carry out on that day, those due longest first."""
        return self._column(
            "select payment_id from scheduled_payments where status = 'scheduled' and due_date between %s and %s"
            " order by due_date, payment_id limit %s for update skip locked",
            day - _LOOKS_BACK,
            day,
            most,
        )

    def pay(self, payment: int) -> str | None:
        """Carry out a payment, or fail it; a standing order is due again."""
        found = self._rows(
            "select account_id, payee, amount, frequency, due_date from scheduled_payments"
            " where payment_id = %s and status = 'scheduled' for update",
            payment,
        )
        if not found:
            return None
        ((account, payee, amount, frequency, due),) = found
        transaction = self._book(account, -_cents(amount), CATEGORY_OF_PAYEE.get(payee, "bill"))
        status = "failed" if transaction is None else "executed"
        self._changes(
            "update scheduled_payments set status = %s, transaction_id = %s, updated_at = %s where payment_id = %s",
            status,
            transaction,
            self.now,
            payment,
        )
        again = next_due(due, frequency)
        if again is not None:
            self._schedule(account, payee, amount, frequency, again)
        return f"payment_{status}"

    def schedule(self) -> str | None:
        """Somebody arranges a payment for one of the next days, perhaps for today."""
        if not self.accounts:
            return None
        payee, _, median = self.rng.choice(ONE_OFFS)
        amount = _money(round(median * self.rng.lognormvariate(0, 0.6)))
        due = self.now.date() + timedelta(days=self.rng.choice((0, 0, 1, 2, 5, 9, 14, 21, 30)))
        self._schedule(self.rng.choice(self.accounts), payee, amount, "one_off", due)
        return "payment_scheduled"

    def arrange(self, account: int, payee: str, cents: int, due: date) -> str | None:
        """A bill comes in, to be paid once."""
        return "payment_scheduled" if self._schedule(account, payee, _money(cents), "one_off", due) else None

    def cancel(self) -> str | None:
        """Somebody calls a payment off before it is due."""
        changed = self._changes(
            "update scheduled_payments set status = 'cancelled', updated_at = %s where payment_id ="
            " (select payment_id from scheduled_payments where status = 'scheduled' and due_date > %s"
            " order by payment_id offset %s limit 1 for update skip locked)",
            self.now,
            self.now.date(),
            self.rng.randrange(40),
        )
        return "payment_cancelled" if changed else None

    def change_email(self) -> str | None:
        """A customer moves to another address; the large notes stay as they are."""
        found = self.customers and self._rows(
            "select customer_id, full_name from customers where customer_id = %s for update",
            self.rng.choice(self.customers),
        )
        if not found:
            return None
        ((customer, name),) = found
        self._changes(
            "update customers set email = %s, updated_at = %s where customer_id = %s",
            an_email(self.rng, name, customer),
            self.now,
            customer,
        )
        return "customer_changed"

    def review(self) -> str | None:
        """The file on a customer is gone through, and written anew."""
        changed = self.customers and self._changes(
            "update customers set kyc_notes = %s, updated_at = %s where customer_id = %s",
            kyc_notes(self.rng, self.now),
            self.now,
            self.rng.choice(self.customers),
        )
        return "customer_reviewed" if changed else None

    def join(self) -> str:
        """Somebody becomes a customer, with an account, some money on it, and bills to pay."""
        number = self.customers[-1] + 1 if self.customers else 1
        person = a_person(self.rng, number, self.now)
        customer = self._number(
            "insert into customers (full_name, email, kyc_notes, created_at, updated_at)"
            " values (%s, %s, %s, %s, %s) returning customer_id",
            person.name,
            person.email,
            person.kyc_notes,
            self.now,
            self.now,
        )
        account = self._open_account(person.name, 0)
        self._changes("update checking_account set customer_id = %s where account_id = %s", customer, account)
        self._book(account, round(person.income * self.rng.lognormvariate(0, 0.7)), "opening")
        for order in standing_orders(self.rng, person):
            self._schedule(
                account,
                order.payee,
                _money(order.cents),
                order.frequency,
                first_due(order, self.now.date()),
            )
        self.customers.append(customer)
        self.scales[account] = 1.0
        self.spenders.append(account)
        return "customer_joined"

    def open_another_account(self) -> str:
        """A further account for a customer; now and then for somebody who isn't in the register."""
        found = (
            self.customers
            and self.rng.random() < 0.85
            and self._rows(
                "select customer_id, full_name from customers where customer_id = %s for key share",
                self.rng.choice(self.customers),
            )
        )
        customer, name = found[0] if found else (None, a_person(self.rng, 0, self.now).name)
        account = self._open_account(name, 0)
        if customer is not None:
            self._changes("update checking_account set customer_id = %s where account_id = %s", customer, account)
        self._book(account, self.rng.randint(5, 300) * 1000, "opening")
        return "account_opened"

    def leave(self) -> str | None:
        """A customer closes everything: payments, transactions and accounts go before the customer does."""
        if len(self.customers) <= 2 * _FIRST_CUSTOMERS:
            return None
        customer = self.rng.choice(self.customers)
        gone = self._column(
            "select account_id from checking_account where customer_id = %s order by 1 for update", customer
        )
        self._changes("delete from scheduled_payments where account_id = any(%s)", gone)
        self._changes("delete from transactions where account_id = any(%s)", gone)
        self._changes("delete from checking_account where account_id = any(%s)", gone)
        left = self._changes("delete from customers where customer_id = %s", customer)
        self.customers.remove(customer)
        self.accounts = [account for account in self.accounts if account not in gone]
        self.spenders = [account for account in self.spenders if account not in gone]
        return "customer_left" if left else None

    def _book(self, account: int, cents: int, category: str, floor: int = -OVERDRAFT) -> int | None:
        """Move money and write it down: the transaction's number, or None if the account doesn't allow it."""
        if not self._move(account, cents, floor=floor):
            return None
        return self._number(
            "insert into transactions (account_id, transaction_type, amount, category, transaction_date)"
            " values (%s, %s, %s, %s, %s) returning transaction_id",
            account,
            "credit" if cents > 0 else "debit",
            _money(abs(cents)),
            category,
            self.now,
        )

    def _schedule(self, account: int, payee: str, amount: Decimal, frequency: str, due: date) -> bool:
        """Put a payment on the list, provided that the account is still there."""
        return self._changes(
            "insert into scheduled_payments (account_id, payee, amount, frequency, due_date, updated_at)"
            " select account_id, %s, %s, %s, %s, %s from checking_account where account_id = %s",
            payee,
            amount,
            frequency,
            due,
            self.now,
            account,
        )


def open_bank(connection: psycopg.Connection, rng: Random) -> PlainBank:
    """The bank that the database's tables make, whole or plain.

    Raises:
        SourceError: there are no tables.
    """
    return Bank(connection, rng) if is_whole(connection) else PlainBank(connection, rng)


# category, share, median in cents, standard deviation of the logarithm
_INCOMES = (
    ("refund", 0.45, 2_500, 0.8),
    ("transfer", 0.30, 6_000, 0.9),
    ("invoice", 0.15, 60_000, 0.5),
    ("salary", 0.10, 240_000, 0.4),
)


def _money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _cents(amount: Decimal) -> int:
    return int(amount.scaleb(2))
