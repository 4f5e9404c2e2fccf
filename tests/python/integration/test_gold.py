"""Silver and Gold are the bank's own figures: compared row by row with SQL on Postgres, after each round."""

from __future__ import annotations

import pytest
from pipeline import Stack
from rounds import Round
from truth import GOLD, SILVER, difference

ROUNDS = ["after_the_snapshot", "after_live_changes", "after_a_second_run", "after_the_demo"]

# The design's columns and types of each Gold table.
COLUMNS = {
    "transaction_summary": {
        "customer_id": "int",
        "total_transactions": "decimal(22,2)",
        "average_transaction": "decimal(22,2)",
        "total_debits": "decimal(22,2)",
        "total_credits": "decimal(22,2)",
        "transaction_count": "bigint",
    },
    "customer_balance": {"customer_id": "int", "updt_ts": "timestamp", "latest_balance": "decimal(20,2)"},
    "customer_balance_history": {"customer_id": "int", "balance_date": "date", "closing_balance": "decimal(20,2)"},
    "popular_products": {"product": "string", "total_quantity_sold": "bigint"},
    "scheduled_payments_summary": {
        "customer_id": "int",
        "scheduled_count": "bigint",
        "scheduled_amount": "decimal(22,2)",
        "next_due_date": "date",
        "overdue_count": "bigint",
        "overdue_amount": "decimal(22,2)",
        "executed_count": "bigint",
        "failed_count": "bigint",
    },
}
COLUMNS["customer_profile"] = {
    name: data_type
    for mart in ("customer_balance", "transaction_summary", "scheduled_payments_summary")
    for name, data_type in COLUMNS[mart].items()
}


@pytest.mark.parametrize("table", [*SILVER, *GOLD])
@pytest.mark.parametrize("name", ROUNDS)
def test_each_row_is_what_postgres_says(request: pytest.FixtureRequest, name: str, table: str) -> None:
    after: Round = request.getfixturevalue(name)
    assert not (difference(after.expected[table], after.actual[table]))


@pytest.mark.parametrize("name", ROUNDS)
def test_there_is_something_to_compare(request: pytest.FixtureRequest, name: str) -> None:
    after: Round = request.getfixturevalue(name)
    assert [table for table, rows in after.expected.items() if not rows] == []


@pytest.mark.parametrize("mart", list(COLUMNS))
def test_a_mart_has_the_columns_of_the_design(stack: Stack, after_the_snapshot: Round, mart: str) -> None:
    actual = dict(stack.spark.table(f"gold.{mart}").dtypes)
    assert {name: actual.get(name) for name in COLUMNS[mart]} == COLUMNS[mart]


def test_nothing_is_quarantined(stack: Stack, after_the_demo: Round) -> None:
    assert stack.rows("select * from silver.quarantined_messages") == []


@pytest.mark.parametrize(("table", "text"), [("purchase_trends", "Never sold"), ("checking_account", "66666666.66")])
def test_what_was_rolled_back_is_nowhere(stack: Stack, after_live_changes: Round, table: str, text: str) -> None:
    assert stack.value(f"select count(*) from bronze.{table} where cast(value as string) like '%{text}%'") == 0


def test_the_last_change_of_a_row_had_the_smaller_lsn(stack: Stack, after_live_changes: Round) -> None:
    """The case is what it is meant to be: order by LSN alone would have lost the row."""
    changes = stack.rows(
        "select _cdc_op, _cdc_lsn from silver.base_bank__purchase_changes"
        " where purchase_id = 1000200 order by _cdc_offset"
    )
    assert [change["_cdc_op"] for change in changes] == ["c", "d", "c", "d", "c"]
    assert changes[-1]["_cdc_lsn"] < changes[-2]["_cdc_lsn"]


def test_long_notes_came_as_a_placeholder(stack: Stack, after_live_changes: Round) -> None:
    """The case is what it is meant to be: some messages did not bring the notes."""
    assert (
        stack.value(
            "select count(distinct customer_id) from silver.base_bank__customer_changes"
            " where array_contains(_cdc_unavailable, 'kyc_notes') and customer_id in (1009, 1010)"
        )
        == 2
    )


def test_who_has_no_transactions_left_leaves_the_summary(after_live_changes: Round, after_a_second_run: Round) -> None:
    customers = [
        {row["customer_id"] for row in after.actual["transaction_summary"]}
        for after in (after_live_changes, after_a_second_run)
    ]
    assert customers[0] - customers[1] == {2002, 2003, 2005, 2009}


def test_a_run_with_nothing_new_commits_nothing(idle_run: tuple[dict[str, object], dict[str, object]]) -> None:
    before, after = idle_run
    assert len(before) >= 15
    assert after == before


def test_an_incremental_run_writes_only_what_is_concerned(after_live_changes: Round, after_a_second_run: Round) -> None:
    """Customer 2008, whose e-mail address changed, is not concerned."""
    before, after = (each.loaded_at["customer_balance_history"] for each in (after_live_changes, after_a_second_run))
    newest = max(after.values())
    assert newest > max(before.values())
    written = {key[0] for key, loaded_at in after.items() if loaded_at == newest}
    assert written
    assert written <= {2001, 2003, 2004, 2007, 2009}
