"""`make reconcile` finds nothing where all is right, and exactly what is wrong where it isn't."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pipeline import Stack
from rounds import Round

from reconcile.__main__ import stores
from reconcile.check import Comparison, compare, comparisons
from reconcile.errors import ReconcileError
from reconcile.project import Column, Entity, Project
from reconcile.stores import Bank, Lake
from source.capture import TableName

COMPARED = [
    "silver.stg_bank__checking_accounts",
    "silver.stg_bank__customers",
    "silver.stg_bank__purchases",
    "silver.stg_bank__scheduled_payments",
    "silver.stg_bank__transactions",
    "gold.customer_balance",
    "gold.customer_balance_history",
    "gold.customer_profile",
    "gold.customer_scheduled_payments",
    "gold.customer_transactions",
    "gold.daily_purchases",
    "gold.daily_scheduled_payments",
    "gold.daily_transactions",
    "gold.popular_products",
    "gold.scheduled_payments_summary",
    "gold.transaction_summary",
]

# Views that read a broken table, and so differ too.
VIEWS_OF_THE_BROKEN = {
    "gold.customer_profile",
    "gold.customer_transactions",
    "gold.daily_purchases",
    "gold.popular_products",
}

CENT = Decimal("0.01")


@dataclass(frozen=True)
class Breakage:
    """A statement that breaks a table, and what `make reconcile` must print: the key, the kind, and the column.

    Attributes:
        said_of: the table that is printed, if that is not the broken one.
    """

    table: str
    statement: str
    key: str
    kind: str
    column: str = ""
    said_of: str = ""


def breakages(stack: Stack) -> list[Breakage]:
    """Some of each kind, on rows that there are: the demo's bank lived on by chance."""
    transactions, totals = "silver.stg_bank__transactions", "silver.int_transaction_totals"
    with stack.connect() as connection:

        def one(query: str) -> Any:
            return connection.execute(query.encode()).fetchone()

        (newest,) = one("select max(transaction_id) from transactions")
        transaction, amount = one(
            "select transaction_id, amount from transactions join checking_account using (account_id)"
            " where customer_id is not null order by 1 desc limit 1"
        )
        (purchase,) = one("select max(id) from purchase_trends")
        (customer,) = one("select max(customer_id) from customers")
        account, payer = one(
            "select account_id, customer_id from transactions join checking_account using (account_id)"
            " where customer_id is not null order by transaction_id limit 1"
        )
        total = stack.value(f"select min(total_id) from {totals} where account_id = {account}")
        moved = stack.value(f"select total_transactions from gold.transaction_summary where customer_id = {payer}")
        # Who lost an account is taken to be right (reconcile/gold.py), also one who lost it when the table was emptied.
        owner = stack.value(
            "select max(customer_id) from silver.stg_bank__checking_accounts where not is_deleted and customer_id"
            " not in (select customer_id from (select customer_id, account_id"
            " from silver.base_bank__checking_account_changes where customer_id is not null"
            " except select customer_id, account_id from silver.stg_bank__checking_accounts where not is_deleted))"
        )
        # The same of one more, whose accounts all have a day that they never were later than.
        dated = stack.value(
            "select max(customer_id) from gold.customer_balance as balance join (select customer_id,"
            " max(balance_date) as balance_date from gold.customer_balance_history group by customer_id) as history"
            f" using (customer_id) where customer_id < {owner} and to_date(updt_ts) = balance_date"
            " and customer_id not in (select customer_id from silver.stg_bank__checking_accounts"
            " where customer_id is not null and (is_deleted or last_transaction_at is null))"
        )
        (day,) = one(f"select max(last_transaction_date)::date from checking_account where customer_id = {dated}")
        (balance,) = one(f"select sum(account_balance) from checking_account where customer_id = {owner}")
    return [
        Breakage(
            transactions,
            f"update {transactions} set amount = amount + 0.01 where transaction_id = {transaction}",
            str(transaction),
            "different",
            f"amount: {amount} in the bank, {amount + CENT} here",
        ),
        Breakage(
            transactions,
            f"insert into {transactions} (transaction_id, is_deleted) values ({newest + 1}, false)",
            str(newest + 1),
            "too many",
        ),
        Breakage(
            "silver.stg_bank__purchases",
            f"delete from silver.stg_bank__purchases where purchase_id = {purchase}",
            str(purchase),
            "missing",
        ),
        Breakage(
            "silver.customers_history",
            f"update silver.customers_history set email = '' where customer_id = {customer} and is_current",
            str(customer),
            "different",
            "email",
            said_of="silver.stg_bank__customers",
        ),
        Breakage(
            totals,
            f"update {totals} set total_credits = total_credits + 0.01 where total_id = '{total}'",
            str(payer),
            "different",
            f"total_transactions: {moved} in the bank, {moved + CENT} here",
            said_of="gold.transaction_summary",
        ),
        Breakage(
            "gold.customer_balance_history",
            "insert into gold.customer_balance_history by name"
            " select customer_id, date '2999-12-31' as balance_date, latest_balance as closing_balance,"
            f" 1L as _run_number from gold.customer_balance where customer_id = {dated}",
            str(dated),
            "different",
            f"balance_date: {day} in the bank, 2999-12-31 here",
        ),
        Breakage(
            "gold.customer_balance_history",
            "update gold.customer_balance_history set closing_balance = closing_balance - 0.01"
            f" where customer_id = {owner}",
            str(owner),
            "different",
            f"closing_balance: {balance} in the bank, {balance - CENT} here",
        ),
    ]


@contextmanager
def broken(stack: Stack, breakages: list[Breakage]) -> Iterator[None]:
    """Every breakage done, and undone: later tests go on from what was there."""
    tables = {breakage.table for breakage in breakages}
    versions = {table: stack.rows(f"describe history {table} limit 1")[0]["version"] for table in tables}
    try:
        for breakage in breakages:
            stack.spark.sql(breakage.statement)
        yield
    finally:
        for table, version in versions.items():
            stack.spark.sql(f"restore table {table} to version as of {version}")


def run(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    """`make reconcile`."""
    target = {"DBT_TARGET_PATH": str(stack.work / "target"), "DBT_LOG_PATH": str(stack.work / "logs")}
    return stack.run("reconcile", *options, environment=target)


def compared(said: str) -> list[list[str]]:
    """The words of each line of the first table."""
    return [line.split() for line in said.splitlines() if re.match(r"\s+(silver|gold)\.\w+\s+\S", line)]


def test_what_is_broken_is_named_and_nothing_else(stack: Stack, after_the_demo: Round) -> None:
    done = breakages(stack)
    with broken(stack, done):
        result = run(stack)
    said = result.stdout
    assert result.returncode == 1, said + result.stderr
    assert [words[0] for words in compared(said)] == COMPARED
    _, *details = re.split(r"^(?=(?:silver|gold)\.\w+ *$)", said, flags=re.MULTILINE)
    named = [
        (detail.split()[0], *row)
        for detail in details
        for row in re.findall(r"^ +(.+?) +(missing|too many|different)(?: +(\S.*?))? *$", detail, flags=re.MULTILINE)
    ]
    assert sorted(row for row in named if row[0] not in VIEWS_OF_THE_BROKEN) == sorted(
        (one.said_of or one.table, one.key, one.kind, one.column) for one in done
    )
    assert {row[0] for row in named if row[0] in VIEWS_OF_THE_BROKEN} == VIEWS_OF_THE_BROKEN
    assert "these differences are real" in said
    amount, too_many = (one.key for one in done if one.table == "silver.stg_bank__transactions")
    assert f"make resnapshot TABLE=transactions KEYS={amount},{too_many}" in said
    (purchase,) = (one.key for one in done if one.table == "silver.stg_bank__purchases")
    assert f"make resnapshot TABLE=purchase_trends KEYS={purchase}" in said
    assert "not compared: balance_date" not in said


def test_what_is_right_is_equal(stack: Stack, after_the_demo: Round) -> None:
    result = run(stack, "--lsn", "0/1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert [words[0] for words in compared(result.stdout)] == COMPARED
    assert "captured up to 0/1:" in result.stdout
    assert "Silver and Gold are what the bank says" in result.stdout


# The type in Postgres, the type in Silver, and values of both.
VALUES = {
    ("smallint", "smallint"): [("-32768", "-32768"), ("0", "0")],
    ("bigint", "bigint"): [("9223372036854775807", "9223372036854775807"), ("-1", "-1")],
    ("numeric(10, 2)", "decimal(10, 2)"): [("-0.10", "-0.10"), ("99999999.99", "99999999.99")],
    ("numeric(38, 18)", "decimal(38, 18)"): [("0", "0"), ("-12345678901234567890.000000000000000001",) * 2],
    ("double precision", "double"): [("0.1", "0.1"), ("'-0'", "'-0'"), ("1e300", "1e300"), ("'NaN'", "'NaN'")],
    ("real", "float"): [("0.1", "'0.1'"), ("'-Infinity'", "'-Infinity'"), ("3.4028235e38", "'3.4028235e38'")],
    ("text", "string"): [("''", "''"), ("' a☕😀 '", "' a☕😀 '"), ("E'a\\nb%\\\\'", r"'a\nb%\\'")],
    ("char(4)", "string"): [("'ab'", "'ab  '")],
    ("uuid", "string"): [("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'")],
    ("boolean", "boolean"): [("true", "true"), ("false", "false")],
    ("date", "date"): [("'2026-02-28'", "'2026-02-28'"), ("'0001-01-01'", "'0001-01-01'")],
    ("timestamp", "timestamp"): [("'2026-11-22 23:59:59.999999'", "'2026-11-22 23:59:59.999999Z'")],
    ("timestamp", "timestamp_ntz"): [("'1969-12-31 23:59:59.5'", "'1969-12-31 23:59:59.5'")],
    ("timestamptz", "timestamp"): [
        ("'2026-11-22 01:00:00+02'", "'2026-11-21 23:00:00Z'"),
        ("'0001-01-01 00:00:00Z'",) * 2,
    ],
    ("bytea", "binary"): [(r"'\x00ff'", "x'00ff'"), ("''", "x''")],
    ("int[]", "array<int>"): [("'{1,null,3}'", "array(1, null, 3)"), ("'{}'", "array()")],
    ("text[]", "array<string>"): [("""'{"a,b",null,""}'""", "array('a,b', null, '')")],
}


KIND = '100% "so"'
TEXT = f"column_{list(VALUES).index(('text', 'string'))}"


@pytest.fixture
def everything(stack: Stack) -> Iterator[Comparison]:
    """A table with a column of each type and a key of two columns, in the bank and in Silver, the last row all NULL."""
    names = [f"column_{place}" for place in range(len(VALUES))]

    def select(side: int) -> str:
        lines = []
        for number in range(1 + max(map(len, VALUES.values()))):
            values = [pairs[number][side] if number < len(pairs) else "null" for pairs in VALUES.values()]
            typed = zip(values, (types[side] for types in VALUES), names, strict=True)
            columns = [f"cast({value} as {data_type}) as {name}" for value, data_type, name in typed]
            lines.append(f"select '{KIND}' as kind, {number} as number, {', '.join(columns)}")
        return " union all ".join(lines)

    columns = [Column(name, types[1], name) for name, types in zip(names, VALUES, strict=True)]
    columns += [Column("number", "int", "number"), Column("kind", "string", "kind")]
    entity = Entity(
        "stg_everything", TableName("public", "everything"), "", "", "everything", ("kind", "number"), tuple(columns)
    )
    with stack.connect() as connection:
        connection.execute(f"create table everything as {select(0)}")
        try:
            stack.spark.sql(f"create or replace temporary view same as {select(1)}")
            stack.spark.sql("create or replace temporary view everything as select *, false as is_deleted from same")
            (comparison,) = comparisons(Project((entity,), (), {}, ()), Bank(connection), Lake(stack.spark))
            yield comparison
        finally:
            connection.execute("drop table everything")


def test_the_same_value_is_the_same_on_both_sides(everything: Comparison) -> None:
    assert everything.notes == ()
    assert len(everything.columns) == 2 + len(VALUES)
    result = compare(everything, limit=20)
    assert [(found.kind, found.key, found.columns) for found in result.differences] == []
    assert result.expected == result.actual == 5


def test_rows_are_told_apart_by_several_columns(stack: Stack, everything: Comparison) -> None:
    branches = [
        # number, text, is_deleted, which rows
        ("number", f"nullif({TEXT}, '')", "number = 1", "true"),
        ("number + 10", TEXT, "false", "number in (1, 2)"),
        ("number", TEXT, "false", "number = 3"),
    ]
    queries = [
        f"select * except (number, {TEXT}), {number} as number, {text} as {TEXT}, {is_deleted} as is_deleted"
        f" from same where {where}"
        for number, text, is_deleted, where in branches
    ]
    stack.spark.sql(f"create or replace temporary view everything as {' union all '.join(queries)}")
    result = compare(everything, limit=4)
    assert [(found.kind, found.key, [name.name for name, _, _ in found.columns]) for found in result.differences] == [
        ("different", (KIND, "0"), [TEXT]),
        ("missing", (KIND, "1"), []),
        ("too many", (KIND, "3"), []),
        ("too many", (KIND, "11"), []),
    ]
    assert result.counts == {"different": 1, "missing": 1, "too many": 3}


def test_a_declared_column_that_is_not_built_is_not_passed_over(stack: Stack) -> None:
    stack.spark.sql("create or replace temporary view lacking as select 1 as id, false as is_deleted")
    columns = (Column("id", "int", "id"), Column("words", "string", "words"))
    entity = Entity("stg_lacking", TableName("public", "lacking"), "", "", "lacking", ("id",), columns)
    with (
        stack.connect() as connection,
        pytest.raises(ReconcileError, match=r"^lacking has no column words, .* Build it with: dbt run$"),
    ):
        list(comparisons(Project((entity,), (), {}, ()), Bank(connection), Lake(stack.spark)))


def test_what_the_user_can_mend_is_one_line(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReconcileError, match=r"^There is no table .*nowhere.* yet. Build it with: dbt run$"):
        Lake(stack.spark).rows("select * from nowhere")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(ReconcileError, match="Start it with: make up"):
        stores()
