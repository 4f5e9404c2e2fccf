"""The bank's rows: the same in every run, so that two runs can be compared."""

from __future__ import annotations

from typing import Any

import psycopg

import source
from benchmarks.chain import Chain

ACCOUNTS = 4000

# In one statement each; these don't grow.
SMALL_TABLES = f"""
insert into customers (full_name, email, created_at, updated_at)
select 'Customer ' || n, 'customer' || n || '@example.com', timestamptz '2020-01-01', timestamptz '2020-01-01'
from generate_series(1, 2000) as n;
insert into checking_account (account_holder_name, account_balance, customer_id, last_transaction_date)
select 'Customer ' || (n - 1) % 2000 + 1, 1000 + n, (n - 1) % 2000 + 1, timestamp '2026-01-01' + n * interval '1 minute'
from generate_series(1, {ACCOUNTS}) as n;
insert into purchase_trends (product, quantity, purchase_date)
select 'Product ' || n % 50, n % 7 + 1, timestamp '2025-01-01' + n * interval '20 minutes'
from generate_series(1, 20000) as n;
insert into scheduled_payments (account_id, payee, amount, frequency, due_date, updated_at)
select (n - 1) % {ACCOUNTS} + 1, 'Payee ' || n % 100, n % 500 + 1, 'monthly', date '2026-12-01' + (n % 30)::int,
    timestamptz '2026-01-01'
from generate_series(1, 10000) as n;
"""

TRANSACTIONS = f"""
insert into transactions (account_id, transaction_type, amount, category, transaction_date)
select
    (n * 7919) % {ACCOUNTS} + 1,
    case when n % 3 = 0 then 'credit' else 'debit' end,
    (n % 100000) / 100.0 + 0.01,
    (array['groceries', 'rent', 'salary', 'travel', 'health'])[n % 5 + 1],
    timestamptz '2020-01-01' + n * interval '20 seconds'
from generate_series({{first}}::bigint, {{last}}::bigint) as n
"""

# A row as one line of text, the same from Postgres and from Spark.
POSTGRES_LINES = """
select
    transaction_id,
    concat_ws(
        '|', account_id, transaction_type, amount, category, (extract(epoch from transaction_date) * 1000000)::bigint
    )
from transactions
"""

# Rows; more in one transaction, and Postgres keeps log for the connector faster than it is read.
CHUNK = 500_000


def open_bank(chain: Chain, rows: int) -> None:
    """Fill the empty bank, then start capture, which takes a snapshot of it."""
    with chain.connect() as connection:
        connection.execute(SMALL_TABLES)
        insert(connection, rows)
    source.register_connector(chain.environment["CONNECT_URL"])
    chain.capture(rows)


def grow(chain: Chain, rows: int) -> None:
    """Insert transactions until there are so many, each chunk captured before the next."""
    with chain.connect() as connection:
        while (missing := rows - one(connection, "select count(*) from transactions")) > 0:
            insert(connection, min(missing, CHUNK))
            chain.capture(CHUNK)


def insert(connection: psycopg.Connection[Any], rows: int) -> None:
    """Insert transactions, in one commit. What they hold follows from how many there are."""
    first = one(connection, "select coalesce(max(transaction_id), 0) + 1 from transactions")
    connection.execute(TRANSACTIONS.format(first=first, last=first + rows - 1).encode())


def update(connection: psycopg.Connection[Any], ids: list[int]) -> None:
    """A change of each of these transactions, in one commit."""
    connection.execute("update transactions set amount = amount + 1 where transaction_id = any(%s)", [ids])


def delete(connection: psycopg.Connection[Any], ids: list[int]) -> None:
    """Delete these transactions, in one commit."""
    connection.execute("delete from transactions where transaction_id = any(%s)", [ids])


def recent_ids(connection: psycopg.Connection[Any], count: int) -> list[int]:
    """The newest transactions' ids, oldest first."""
    query = "select transaction_id from transactions order by transaction_id desc limit %s"
    return sorted(number for (number,) in connection.execute(query, [count]))


def scattered_ids(
    connection: psycopg.Connection[Any], *, clusters: int = 10, width: int = 80, shift: int = 0
) -> list[int]:
    """Ids in clusters of adjacent ones, spread evenly over the table; another shift, other ids."""
    stride = max(1, one(connection, "select max(transaction_id) from transactions") // clusters)
    starts = [cluster * stride + shift * width % stride for cluster in range(clusters)]
    ids = [start + place for start in starts for place in range(1, width + 1)]
    query = "select transaction_id from transactions where transaction_id = any(%s)"
    return sorted(number for (number,) in connection.execute(query, [ids]))


def one(connection: psycopg.Connection[Any], query: str) -> int:
    """A query's one number."""
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


def lines(chain: Chain) -> dict[int, str]:
    """What the bank says: every transaction by its id, as one line."""
    with chain.connect() as connection:
        return dict(connection.cursor().execute(POSTGRES_LINES).fetchall())
