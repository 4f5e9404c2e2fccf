"""The bank that the tests look at, and how they look at it."""

from datetime import UTC, datetime
from typing import Any, TypedDict

import psycopg


class Past(TypedDict):
    seed: int
    customers: int
    days: int
    until: datetime


UNTIL = datetime(2026, 3, 10, 15, 0, tzinfo=UTC)
PAST: Past = {"seed": 7, "customers": 60, "days": 120, "until": UNTIL}

# Accounts whose balance isn't their credits less their debits.
UNBALANCED = """
    select account_id, account_balance, booked
    from checking_account
    left join (
        select account_id, sum(case transaction_type when 'credit' then amount else -amount end) as booked
        from transactions
        group by 1
    ) as books using (account_id)
    where account_balance is distinct from booked
"""


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()
