"""The bank's customers: who they are, what they earn, and what they have to pay every month."""

import base64
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate
from random import Random

from source.days import month_end

_FIRST_NAMES = (
    "Amelia", "Noah", "Olivia", "Liam", "Sofia", "Mateo", "Ines", "Lukas", "Chloe", "Emil", "Aisha",
    "Omar", "Priya", "Arjun", "Mei", "Wei", "Yuki", "Hana", "Zofia", "Jakub", "Freya", "Nils", "Elena",
    "Marco", "Giulia", "Hugo", "Camille", "Louis", "Marta", "Diego", "Nadia", "Tariq", "Ruth", "Samuel",
    "Grace", "Kwame", "Amara", "Chidi", "Ingrid", "Anders", "Petra", "Milan", "Katya", "Ivan", "Rosa",
    "Pedro", "Beatriz", "Tomas", "Clara", "Felix", "Leonie", "Jonas", "Maeve", "Declan", "Isla", "Callum",
    "Harriet", "George", "Edith", "Walter",
)  # fmt: skip
_LAST_NAMES = (
    "Abbott", "Adeyemi", "Ahmed", "Andersen", "Bakker", "Baranov", "Becker", "Bianchi", "Brennan",
    "Campbell", "Castro", "Chen", "Cohen", "Costa", "Dubois", "Eriksson", "Evans", "Ferrari", "Fischer",
    "Fraser", "Garcia", "Gupta", "Haas", "Hansen", "Hoffmann", "Horvat", "Ibrahim", "Ito", "Jansen",
    "Kaur", "Keller", "Khan", "Kim", "Kowalski", "Larsen", "Lefevre", "Lind", "Lopez", "Mbeki", "Martin",
    "Mendes", "Moreau", "Murphy", "Nagy", "Nakamura", "Novak", "Nowak", "Okafor", "Oliveira", "O'Connor",
    "Patel", "Peeters", "Petrov", "Popescu", "Quinn", "Ricci", "Rossi", "Santos", "Schmidt", "Sharma",
    "Silva", "Singh", "Smith", "Svensson", "Tanaka", "Taylor", "Thompson", "Torres", "Vasquez", "Virtanen",
    "Vogel", "Walker", "Wang", "Weber", "Williams", "Wojcik", "Yilmaz", "Young", "Zhang", "Zimmermann",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class IncomeClass:
    """A way of earning.

    Attributes:
        name: for people.
        share: of the customers.
        income: median a month, in cents.
        spread: standard deviation of the income's logarithm.
        cards: card payments on an average day.
        saves: part of the income that isn't spent.
        payday: `month_end`, `25th`, `first` (working days all) or `invoices` (whenever a client pays).
    """

    name: str
    share: float
    income: int
    spread: float
    cards: float
    saves: float
    payday: str


INCOME_CLASSES = (
    IncomeClass("student", 0.11, 98_000, 0.18, 1.25, 0.00, "first"),
    IncomeClass("basic", 0.26, 182_000, 0.14, 1.25, 0.01, "month_end"),
    IncomeClass("middle", 0.25, 275_000, 0.18, 1.45, 0.05, "month_end"),
    IncomeClass("middle, paid on the 25th", 0.07, 290_000, 0.18, 1.45, 0.05, "25th"),
    IncomeClass("upper", 0.11, 470_000, 0.20, 1.65, 0.12, "month_end"),
    IncomeClass("self-employed", 0.07, 310_000, 0.40, 1.50, 0.06, "invoices"),
    IncomeClass("pensioner", 0.10, 168_000, 0.22, 0.90, 0.02, "first"),
    IncomeClass("wealthy", 0.03, 1_150_000, 0.40, 1.90, 0.30, "month_end"),
)
_CLASS_SHARES = tuple(accumulate(income_class.share for income_class in INCOME_CLASSES))


@dataclass(frozen=True, slots=True)
class Person:
    """A customer, and the first card of the bank's file on them; the income is cents a month."""

    name: str
    email: str
    kyc_notes: str
    income_class: IncomeClass
    income: int


def a_person(rng: Random, number: int, known_since: datetime) -> Person:
    """Somebody new at the bank; `number` keeps the e-mail addresses apart."""
    first, last = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
    (income_class,) = rng.choices(INCOME_CLASSES, cum_weights=_CLASS_SHARES)
    return Person(
        name=f"{first} {last}",
        email=an_email(rng, f"{first} {last}", number),
        kyc_notes=kyc_notes(rng, known_since),
        income_class=income_class,
        income=round(rng.lognormvariate(0, income_class.spread) * income_class.income),
    )


def an_email(rng: Random, name: str, number: int) -> str:
    """An address at example.com, which RFC 2606 keeps for this: nobody can ever receive mail there."""
    separator = rng.choice((".", "_", ""))
    return f"{name.lower().replace(' ', separator).replace(chr(39), '')}{number}@example.com"


def kyc_notes(rng: Random, known_since: datetime) -> str:
    """The file on a customer, 4 to 10 kB.

    Digests of scanned papers make up most of it. They don't compress, so that Postgres stores the column out
    of line (TOAST) and Debezium sees a placeholder when a change leaves it alone.
    """
    papers = (
        "Passport",
        "Payslip",
        "Utility bill",
        "Tax return",
        "Tenancy agreement",
        "Source of funds declaration",
    )
    lines = [f"Due diligence file, opened {known_since:%Y-%m-%d}. Risk: {rng.choice(('low', 'low', 'medium'))}."]
    for number in range(1, rng.randint(12, 28)):
        digest = base64.b64encode(rng.randbytes(192)).decode()
        lines.append(f"{number}. {rng.choice(papers)} seen by officer {rng.randint(100, 999)}; scan {digest}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """Something paid again and again; `day` is of the month, or the weekday (0 is Monday) if weekly."""

    payee: str
    category: str
    cents: int
    frequency: str
    day: int


_ROOFS = (("Northgate Lettings", "rent"), ("Parkside Homes", "rent"), ("Union Building Society", "mortgage"))

_REGULAR = (
    # payee(s), category, frequency, who has it, least and most in cents
    (("Brightwater Energy", "Northern Power"), "utilities", "monthly", 0.80, 5_500, 16_500),
    (("City Waterworks",), "utilities", "monthly", 0.55, 1_800, 4_200),
    (("Fibrelane Broadband", "Metronet"), "utilities", "monthly", 0.74, 2_499, 4_999),
    (("Orbit Mobile", "Pluto Telecom"), "phone", "monthly", 0.85, 999, 3_999),
    (("Harbour Insurance", "Oak & Elm Mutual"), "insurance", "monthly", 0.55, 1_900, 8_900),
    (("Streamline TV",), "subscriptions", "monthly", 0.60, 899, 1_799),
    (("Ironworks Gym", "Lakeside Yoga"), "sport", "monthly", 0.30, 1_999, 5_900),
    (("Local Food Bank", "Sea Rescue Fund"), "donations", "monthly", 0.14, 500, 4_000),
    (("Little Oaks Nursery",), "childcare", "weekly", 0.07, 6_500, 14_000),
    (("Cleaner", "Piano lessons", "Window cleaner"), "household", "weekly", 0.12, 1_500, 4_500),
    (("Veg Box Farm",), "groceries", "weekly", 0.10, 1_200, 2_800),
)


def standing_orders(rng: Random, person: Person) -> list[StandingOrder]:
    """What the customer pays regularly, the roof first; never more than 62 % of the income in all."""
    orders = []
    if rng.random() < 0.86:
        payee, category = rng.choice(_ROOFS)
        cents = round(person.income * rng.uniform(0.22, 0.38) / 500) * 500
        orders.append(StandingOrder(payee, category, cents, "monthly", rng.choice((1, 1, 1, 2, 3, 5))))
    left = 0.62 * person.income - sum(order.cents for order in orders)
    for payees, category, frequency, share, least, most in _REGULAR:
        cents = rng.randint(least, most)
        monthly = cents * (52 / 12 if frequency == "weekly" else 1)
        if rng.random() < share and monthly <= left:
            day = rng.randrange(7) if frequency == "weekly" else rng.choice((1, 3, 5, 8, 12, 15, 15, 20, 25, 28))
            orders.append(StandingOrder(rng.choice(payees), category, cents, frequency, day))
            left -= monthly
    return orders


ONE_OFFS = (
    # payee, category, median in cents
    ("City Treasury", "taxes", 24_000),
    ("Dent & Sons Garage", "car", 32_000),
    ("Riverside Dental Practice", "health", 14_000),
    ("Blue Coast Holidays", "travel", 68_000),
    ("Westend Furniture", "household", 41_000),
    ("Evening College", "education", 18_000),
)

CATEGORY_OF_PAYEE = {
    **{payee: category for payee, category in _ROOFS},
    **{payee: category for payees, category, *_ in _REGULAR for payee in payees},
    **{payee: category for payee, category, _ in ONE_OFFS},
}
"""What a payment counts as when it is carried out; payees' names come from the lists above alone."""


def first_due(order: StandingOrder, day: date) -> date:
    """The first day from this one on (it included) at which the order falls due."""
    if order.frequency == "weekly":
        return day + timedelta(days=(order.day - day.weekday()) % 7)
    due = day.replace(day=order.day)
    return due if due >= day else (month_end(day) + timedelta(days=1)).replace(day=order.day)
