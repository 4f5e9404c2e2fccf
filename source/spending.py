"""What people spend money on, when, and how much; and what the bank's shop sells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import accumulate
from random import Random


@dataclass(frozen=True, slots=True)
class Category:
    """One kind of card spending.

    Attributes:
        name: as it stands in `transactions.category`.
        share: of all card payments on an average day.
        median: of the amount, in cents; amounts are log-normal.
        sigma: standard deviation of the amount's logarithm.
        weekdays: how busy Monday to Sunday are, 1 being average.
        hours: (hour of the day, standard deviation in hours) of each rush.
        months: how busy a month is where that isn't 1.
        price: `exact`, `retail` (mostly .99 and the like) or `notes` (what a cash machine gives).
    """

    name: str
    share: float
    median: int
    sigma: float
    weekdays: tuple[float, ...]
    hours: tuple[tuple[float, float], ...]
    months: dict[int, float] = field(default_factory=dict)
    price: str = "exact"

    @property
    def mean(self) -> float:
        """The expected amount in cents (of the log-normal distribution, before rounding)."""
        return self.median * math.exp(self.sigma**2 / 2)


_EVERYDAY = (0.95, 0.9, 0.95, 1.0, 1.2, 1.25, 0.75)
_WORKDAYS = (1.2, 1.25, 1.2, 1.2, 1.15, 0.6, 0.4)
_WEEKEND = (0.55, 0.6, 0.75, 0.9, 1.5, 1.75, 0.95)
_DAYTIME = ((11.0, 1.8), (15.5, 2.0))
_EVENING = ((19.5, 1.8),)
_CHRISTMAS = {1: 0.8, 2: 0.88, 11: 1.25, 12: 1.55}
_SUMMER = {1: 0.8, 2: 0.85, 5: 1.1, 6: 1.3, 7: 1.6, 8: 1.5, 11: 0.7, 12: 0.9}

CARD = (
    Category("groceries", 0.33, 2700, 0.70, _EVERYDAY, ((11.0, 1.6), (17.8, 1.4), (17.8, 1.4))),
    Category("restaurants", 0.16, 1650, 0.65, _WEEKEND, ((12.6, 0.6), (19.8, 1.1), (19.8, 1.1))),
    Category("transport", 0.15, 380, 0.60, _WORKDAYS, ((8.0, 0.7), (17.6, 0.9)), {7: 0.85, 8: 0.8}),
    Category("shopping", 0.13, 3600, 0.90, _WEEKEND, (*_DAYTIME, *_EVENING), _CHRISTMAS, "retail"),
    Category("fuel", 0.06, 4700, 0.35, _EVERYDAY, ((8.2, 1.0), (17.5, 1.5))),
    Category("entertainment", 0.06, 1500, 0.60, _WEEKEND, _EVENING, {12: 1.2}, "retail"),
    Category("cash_withdrawal", 0.05, 6000, 0.55, _WEEKEND, _DAYTIME, {12: 1.1}, "notes"),
    Category("health", 0.04, 1900, 0.80, _WORKDAYS, _DAYTIME, {1: 1.2, 2: 1.2, 7: 0.85, 8: 0.8}),
    Category("travel", 0.02, 14500, 0.80, _EVERYDAY, _EVENING, _SUMMER, "retail"),
)
MEAN_CARD_AMOUNT = sum(category.share * category.mean for category in CARD)


@cache
def card_day(weekday: int, month: int) -> tuple[float, tuple[float, ...]]:
    """How busy the cards are on such a day (1 is average), and the categories' cumulative weights for it."""
    weights = [c.share * c.weekdays[weekday] * c.months.get(month, 1.0) for c in CARD]
    return sum(weights), tuple(accumulate(weights))


def card_payment(rng: Random, day: date, scale: float) -> tuple[Category, int, datetime]:
    """A card payment on that day: its category, the amount in cents, and when.

    Args:
        rng: the only source of chance.
        day: UTC.
        scale: how dearly the customer lives, 1 being average.
    """
    _, weights = card_day(day.weekday(), day.month)
    (category,) = rng.choices(CARD, cum_weights=weights)
    return category, card_amount(rng, category, scale), at_hour(rng, day, *rng.choice(category.hours))


def card_amount(rng: Random, category: Category, scale: float) -> int:
    """An amount in cents, at least one, with the endings its prices have."""
    cents = rng.lognormvariate(math.log(category.median * scale), category.sigma)
    if category.price == "notes":
        return max(1000, min(50_000, round(cents / 1000) * 1000))
    if category.price == "retail" and cents > 200 and rng.random() < 0.75:
        return round(cents / 100) * 100 - rng.choice((1, 1, 5, 50, 100))
    return max(1, round(cents))


def at_hour(rng: Random, day: date, hour: float, spread: float) -> datetime:
    """A moment of that day around an hour (both in hours), to the microsecond; never across midnight."""
    seconds = min(max(rng.gauss(hour, spread), 0.0), 23.999) * 3600
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight + timedelta(seconds=int(seconds), microseconds=rng.randrange(1_000_000))


def poisson(rng: Random, mean: float) -> int:
    """How often something happens that happens `mean` times on average."""
    count, waited = 0, rng.expovariate(1.0)
    while waited < mean:
        count, waited = count + 1, waited + rng.expovariate(1.0)
    return count


# In order of popularity: the second sells half as often as the first, the third a third (Zipf's law).
PRODUCTS = (
    "Gift Card 25", "Travel Card", "Contactless Wristband", "Gift Card 50", "Phone Insurance",
    "Travel Insurance", "Foreign Currency USD", "Savings Bond 100", "Mobile Top-up 10", "Cinema Voucher",
    "Foreign Currency GBP", "Gift Card 100", "Home Insurance", "Mobile Top-up 20", "Airport Lounge Pass",
    "Metal Card", "Card Holder", "Pet Insurance", "Foreign Currency CHF", "Streaming Pass",
    "Credit Report", "Savings Bond 500", "Piggy Bank", "Bicycle Insurance", "Restaurant Voucher",
    "Silver Coin", "Identity Protection", "Foreign Currency JPY", "Gold Coin 1/10 oz", "Dental Cover",
    "Parking Permit", "Spa Voucher", "Legal Cover", "Safe Deposit Box", "Wallet Tracker",
    "Foreign Currency THB", "Tax Adviser Hour", "Children's Account Kit", "Gold Bar 1 g", "Museum Pass",
)  # fmt: skip
_POPULARITY = tuple(accumulate(1 / rank for rank in range(1, len(PRODUCTS) + 1)))
_SHOP_WEEK = (0.9, 0.9, 0.95, 1.0, 1.15, 1.3, 0.8)
_SHOP_MONTHS = {1: 0.8, 2: 0.88, 6: 1.1, 7: 1.15, 11: 1.15, 12: 1.5}


def purchase(rng: Random) -> tuple[str, int]:
    """A product and how many of it; most people buy one."""
    (product,) = rng.choices(PRODUCTS, cum_weights=_POPULARITY)
    quantity = 1
    while rng.random() < 0.3 and quantity < 12:
        quantity += 1
    return product, quantity


def purchases_of_day(rng: Random, day: date, mean: float) -> list[tuple[str, int, datetime]]:
    """A day's sales in the shop, around `mean` on an average day."""
    busy = mean * _SHOP_WEEK[day.weekday()] * _SHOP_MONTHS.get(day.month, 1.0)
    rushes: Sequence[tuple[float, float]] = (*_DAYTIME, *_EVENING)
    return [(*purchase(rng), at_hour(rng, day, *rng.choice(rushes))) for _ in range(poisson(rng, busy))]
