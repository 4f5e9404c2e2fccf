"""What the bank's customers want of it, day by day: for a past that is loaded and for days that are lived.

Nothing here knows a balance: whether a wish comes true is for those who keep the books.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from random import Random

from source.days import is_working_day, month_end, working_day_from, working_day_until
from source.people import INCOME_CLASSES, ONE_OFFS, IncomeClass
from source.spending import MEAN_CARD_AMOUNT, at_hour, card_day, card_payment, poisson

OVERDRAFT = 50_000
"""How far below zero a current account may go, in cents; a debit beyond that is declined."""

PURCHASES_PER_CUSTOMER = 0.16
"""How many purchases a day the bank's shop sells per customer."""

MISSED = 0.006
"""Part of the payments that the payment run leaves out: they stay scheduled, and are overdue."""

FORESIGHT_DAYS = 14
"""How far ahead a day's wishes may lie."""

WEEKS_A_MONTH = 52 / 12
INCOME_CATEGORIES = ("salary", "pension", "allowance", "invoice")

_CATEGORY_OF_CLASS = {"pensioner": "pension", "student": "allowance", "self-employed": "invoice"}
_INVOICES_A_MONTH = 3.5

# A household's accounts in the order in which it opened them; the first is its current account.
_CURRENT, _SAVINGS, _SHARED = range(3)


@dataclass(frozen=True, slots=True)
class Wish:
    """Money that wants to move at a time; accounts by their place in the household, `cents` negative for a debit."""

    at: datetime
    account: int
    cents: int
    category: str
    to: int | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """A payment arranged for a later day, once."""

    at: datetime
    payee: str
    category: str
    cents: int
    due: date


@dataclass(frozen=True, slots=True)
class Life:
    """How a household earns and spends.

    Attributes:
        income_class: its way of earning.
        income: cents a month.
        accounts: how many it has.
        cards: card payments on an average day.
        scale: how dearly it lives, 1 being average.
    """

    income_class: IncomeClass
    income: int
    accounts: int
    cards: float
    scale: float


def a_life(rng: Random, income_class: IncomeClass, income: int, accounts: int, fixed: float) -> Life:
    """Somebody who spends about what the income leaves; `fixed`: cents a month that standing orders take."""
    cards = income_class.cards * rng.gammavariate(6, 1 / 6)
    free = income * (1 - income_class.saves) * rng.uniform(0.88, 1.02) - fixed
    scale = min(max(free / (cards * 30.4 * MEAN_CARD_AMOUNT), 0.3), 4.5)
    return Life(income_class, income, accounts, cards, scale)


def earning(category: str, cents: int, day: int) -> tuple[IncomeClass, int]:
    """The way of earning, and the cents a month, of which such a credit on such a day of the month is typical."""
    income = round(cents * _INVOICES_A_MONTH * 1.2) if category == "invoice" else cents
    likely = [
        income_class
        for income_class in INCOME_CLASSES
        if _CATEGORY_OF_CLASS.get(income_class.name, "salary") == category
        and (category != "salary" or (income_class.payday == "25th") == (day <= 25))
    ]
    return min(likely, key=lambda income_class: abs(math.log(income / income_class.income))), income


def floor(account: int) -> int:
    """What the balance of a household's account may fall to, in cents."""
    return 0 if account == _SAVINGS else -OVERDRAFT


def run_at(rng: Random, day: date) -> datetime:
    """When, on a working day, the payment run comes to a payment: at about six in the morning."""
    return at_hour(rng, day, 6.3, 0.1)


def wishes(rng: Random, life: Life, day: date) -> Iterator[Wish]:
    """What a day brings the household, and what it decides for the days to come."""
    yield from _income(rng, life, day)
    yield from _savings(rng, life, day)
    yield from _spending(rng, life, day)


def bills(rng: Random, day: date) -> Iterator[Bill]:
    """Bills that come once: taxes, repairs, a holiday."""
    for _ in range(poisson(rng, 0.22 / 30)):
        payee, category, median = rng.choice(ONE_OFFS)
        due = day + timedelta(days=rng.randint(2, 30))
        yield Bill(at_hour(rng, day, 14, 4), payee, category, round(median * rng.lognormvariate(0, 0.6)), due)


def _income(rng: Random, life: Life, day: date) -> Iterator[Wish]:
    """Salaries, pensions and invoices."""
    payday = life.income_class.payday
    category = _CATEGORY_OF_CLASS.get(life.income_class.name, "salary")
    if payday == "invoices":
        if is_working_day(day) and rng.random() < _INVOICES_A_MONTH / 21:
            cents = round(life.income / _INVOICES_A_MONTH * rng.lognormvariate(-0.18, 0.6))
            yield Wish(at_hour(rng, day, 11, 3), _CURRENT, cents, category)
    elif day == _payday(payday, day):
        cents = round(life.income * rng.gauss(1, 0.006))
        if category == "salary" and day.month == 12 and rng.random() < 0.4:
            cents += round(life.income * rng.uniform(0.2, 0.9))
        yield Wish(at_hour(rng, day, 4.5, 0.7), _CURRENT, cents, category)


def _savings(rng: Random, life: Life, day: date) -> Iterator[Wish]:
    """What goes to the other accounts after the end of the month, and now and then comes back before it."""
    payday = _payday("month_end", day)
    if day == payday:
        others = ((_SAVINGS, life.income_class.saves + 0.04), (_SHARED, 0.22))
        for other, part in others[: life.accounts - 1]:
            cents = round(life.income * part * rng.uniform(0.7, 1.2) / 1000) * 1000
            after = day + timedelta(days=rng.randint(1, 3))
            if cents:
                yield Wish(at_hour(rng, after, 9, 1.5), _CURRENT, -cents, "transfer", to=other)
    elif day == payday - timedelta(days=9) and life.accounts > 1 and rng.random() < 0.3:
        cents = round(life.income * (life.income_class.saves + 0.04) * rng.uniform(0.7, 1.2) / 1000) * 1000
        back = day + timedelta(days=rng.randint(0, 8))
        yield Wish(at_hour(rng, back, 18, 2), _SAVINGS, -max(cents, 1000), "transfer", to=_CURRENT)


def _spending(rng: Random, life: Life, day: date) -> Iterator[Wish]:
    """Card payments, and some of what they bought that goes back to the shop."""
    payday = life.income_class.payday
    busy, _ = card_day(day.weekday(), day.month)
    mood = _mood("month_end" if payday == "invoices" else payday, day)
    for _ in range(poisson(rng, life.cards * busy * mood)):
        category, cents, at = card_payment(rng, day, life.scale)
        account = _SHARED if life.accounts > _SHARED and category.name == "groceries" else _CURRENT
        yield Wish(at, account, -cents, category.name)
        if category.name == "shopping" and rng.random() < 0.05:
            back = day + timedelta(days=rng.randint(3, FORESIGHT_DAYS))
            yield Wish(at_hour(rng, back, 10, 2), account, cents, "refund")


@cache
def _mood(payday: str, day: date) -> float:
    """How freely people spend: more in the days after payday, less in the week before the next."""
    this_month = _payday(payday, day)
    if day < this_month:
        last, following = _payday(payday, day.replace(day=1) - timedelta(days=1)), this_month
    else:
        last, following = this_month, _payday(payday, month_end(day) + timedelta(days=1))
    return 1.3 if (day - last).days < 4 else 0.88 if (following - day).days <= 7 else 1.0


@cache
def _payday(payday: str, day: date) -> date:
    """The payday of the day's month."""
    if payday == "month_end":
        return working_day_until(month_end(day))
    if payday == "25th":
        return working_day_until(day.replace(day=25))
    return working_day_from(day.replace(day=1))
