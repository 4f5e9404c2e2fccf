"""A bank of only the two tables, plainly declared, is captured and built as well, beside the other bank."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg.rows
import pytest
import requests
from lanes import drop_slot
from pipeline import Stack
from psycopg import conninfo
from truth import GOLD, SILVER, Rows, difference

import local
import source

PLAIN = """
CREATE TABLE purchase_trends (
    id SERIAL PRIMARY KEY,
    product VARCHAR(100) NOT NULL,
    quantity INT NOT NULL,
    purchase_date TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE checking_account (
    account_id SERIAL PRIMARY KEY,
    account_holder_name VARCHAR(100) NOT NULL,
    account_balance NUMERIC(10, 2) NOT NULL,
    last_transaction_date TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO purchase_trends (product, quantity) VALUES ('Laptop', 5), ('Phone', 10), ('Laptop', 7), ('Tablet', 1);
INSERT INTO checking_account (account_holder_name, account_balance) VALUES ('John Doe', 1000.00), ('Jane Doe', -0.01);
"""

CHANGES = """
UPDATE purchase_trends SET quantity = 11 WHERE product = 'Phone';
DELETE FROM purchase_trends WHERE product = 'Tablet';
INSERT INTO purchase_trends (product, quantity) VALUES ('Desk', 2);
UPDATE checking_account SET account_balance = 900.50, last_transaction_date = NULL WHERE account_id = 1;
DELETE FROM checking_account WHERE account_id = 2;
"""

TABLES = {
    "silver.stg_bank__purchases": SILVER["stg_bank__purchases"],
    "silver.stg_bank__checking_accounts": SILVER["stg_bank__checking_accounts"].replace(
        "customer_id", "null::int as customer_id"
    ),
    "gold.popular_products": GOLD["popular_products"],
    "gold.daily_purchases": GOLD["daily_purchases"],
}


@dataclass(frozen=True)
class Built:
    stack: Stack
    first: dict[str, tuple[Rows, Rows]]
    second: dict[str, tuple[Rows, Rows]]


@pytest.fixture(scope="module")
def built(stack: Stack) -> Iterator[Built]:
    """The figures of Postgres and of dbt, after `dbt run`, and after changes and another of what they come to."""
    plain = replace(
        stack,
        work=stack.work / "plain",
        environment={
            **stack.environment,
            "DATABASE_URL": conninfo.make_conninfo(stack.database_url, dbname="plain"),
            "TOPIC_PREFIX": "plain.public.",
            "BRONZE_SCHEMA": "plain_bronze",
            "CHECKPOINTS": str(stack.work / "plain" / "checkpoints"),
            "DBT_SCHEMA": "plain",
        },
        _spark=stack.spark,
    )
    superuser = local.superuser_url(stack.home)
    with stack.connect(superuser) as connection:
        connection.execute("create database plain owner bank_owner")
    try:
        with plain.connect() as connection:
            connection.execute(PLAIN)
        source.migrate(plain.database_url, upto="0001")
        names = {"name": "plain", "topic.prefix": "plain", "slot.name": "plain", "database.dbname": "plain"}
        source.register_connector(stack.environment["CONNECT_URL"], names)
        first = figures(plain, "run")
        with plain.connect() as connection:
            connection.execute(CHANGES)
        second = figures(
            plain, "run", "--select", "+popular_products", "+daily_purchases", "+stg_bank__checking_accounts"
        )
        yield Built(plain, first, second)
    finally:
        requests.delete(f"{stack.environment['CONNECT_URL']}/connectors/plain", timeout=30)
        with stack.connect(superuser) as connection:
            drop_slot(connection, "plain")
            connection.execute("drop database plain with (force)")
        for schema in ("bronze", "silver", "gold"):
            stack.spark.sql(f"drop schema if exists plain_{schema} cascade")


def figures(stack: Stack, *command: str) -> dict[str, tuple[Rows, Rows]]:
    source.wait_until_captured(stack.database_url, slot="plain")
    stack.ingest()
    stack.dbt(*command, "--vars", "{bronze_schema: plain_bronze}")
    compared = {}
    with stack.connect() as connection, connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        for table, query in TABLES.items():
            expected = cursor.execute(query).fetchall()
            rows = stack.rows(f"select * from plain_{table} {'where not is_deleted' if table[0] == 's' else ''}")
            names = list(expected[0])
            compared[table] = (expected, [{name: row[name] for name in names} for row in rows])
    return compared


@pytest.mark.parametrize("table", list(TABLES))
def test_after_the_snapshot_each_row_is_what_postgres_says(built: Built, table: str) -> None:
    assert not difference(*built.first[table])


@pytest.mark.parametrize("table", list(TABLES))
def test_after_changes_each_row_is_what_postgres_says(built: Built, table: str) -> None:
    assert not difference(*built.second[table])


def test_the_figures_can_be_checked_by_eye(built: Built) -> None:
    for compared, expected in (
        (built.first, {"Laptop": 12, "Phone": 10, "Tablet": 1}),
        (built.second, {"Laptop": 12, "Phone": 11, "Desk": 2}),
    ):
        _, actual = compared["gold.popular_products"]
        assert {row["product"]: row["total_quantity_sold"] for row in actual} == expected


OF_CUSTOMERS = sorted(GOLD.keys() - {"popular_products", "daily_purchases"})


@pytest.mark.parametrize("mart", OF_CUSTOMERS)
def test_a_mart_of_customers_is_there_and_empty(built: Built, mart: str) -> None:
    assert built.stack.value(f"select count(*) from plain_gold.{mart}") == 0


def test_it_reconciles_but_for_a_table_whose_changes_are_not_captured(built: Built) -> None:
    with built.stack.connect() as connection:
        connection.execute("alter table purchase_trends replica identity nothing")
    target = {"DBT_TARGET_PATH": str(built.stack.work / "target"), "DBT_LOG_PATH": str(built.stack.work / "logs")}
    result = built.stack.run("reconcile", environment=target)
    # All is equal, and would not stay so.
    assert result.returncode == 1, result.stdout + result.stderr
    assert re.findall("^Capture is broken: .*", result.stdout, re.MULTILINE) == [
        "Capture is broken: public.purchase_trends has a replica identity that does not hold its primary key."
        " Mend it with: alter table public.purchase_trends replica identity full"
    ]
    assert not re.search("missing|too many|different|✓", result.stdout.partition("different\n")[2]), result.stdout
    assert result.stdout.count("the bank has no such table") == 3
    assert result.stdout.count("the bank has not all the tables it is made of") == len(OF_CUSTOMERS)
