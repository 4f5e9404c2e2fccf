"""The simulated bank: its books balance, it can be repeated, and it looks like a bank."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypedDict

import psycopg
import pytest
from banks import PAST, UNBALANCED, UNTIL, rows

from source import SourceError, load_history, migrate, simulate


class Rush(TypedDict):
    rate: float
    length: float


# As fast as the database goes: some 1,500 events, due within half a second.
RUSH: Rush = {"rate": 3000.0, "length": 0.5}


def test_every_balance_is_its_credits_less_its_debits(whole_bank: str) -> None:
    assert rows(whole_bank, UNBALANCED) == []
    summary = simulate(whole_bank, seed=3, **RUSH)
    # The rare events are the ones that could break it.
    assert {"transaction_corrected", "transaction_removed", "transfer", "customer_left"} <= set(summary.events)
    assert rows(whole_bank, UNBALANCED) == []


def test_an_account_that_is_full_takes_no_more(whole_bank: str) -> None:
    fill = """
        with filled as (
            insert into transactions (account_id, transaction_type, amount, transaction_date)
            select account_id, 'credit', 99999999.99 - account_balance, last_transaction_date from checking_account
        )
        update checking_account set account_balance = 99999999.99
    """
    with psycopg.connect(whole_bank) as connection:
        connection.execute(fill)
    summary = simulate(whole_bank, seed=3, **RUSH)
    assert summary.events["refused"] > 0
    assert summary.events["card_payment"] > 0
    assert rows(whole_bank, UNBALANCED) == []


def test_the_as_of_time_of_a_balance_is_when_it_last_changed(past_bank: str) -> None:
    late = """
        select account_id from checking_account join transactions using (account_id)
        group by account_id, last_transaction_date
        having max(transaction_date) at time zone 'UTC' <> last_transaction_date
    """
    assert rows(past_bank, late) == []


def test_a_past_ends_where_it_should(past_bank: str) -> None:
    ((first, last),) = rows(past_bank, "select min(transaction_date), max(transaction_date) from transactions")
    assert UNTIL - timedelta(days=120) <= first < UNTIL - timedelta(days=119)
    assert UNTIL - timedelta(days=1) < last <= UNTIL


def test_a_bank_with_accounts_keeps_its_past(past_bank: str) -> None:
    before = rows(past_bank, "select count(*) from transactions")
    assert load_history(past_bank, **PAST) is None
    assert rows(past_bank, "select count(*) from transactions") == before


TABLES = {
    "purchase_trends": "product, quantity",
    "checking_account": "account_holder_name, account_balance, customer_id",
    "customers": "full_name, email",
    "transactions": "account_id, transaction_type, amount, category",
    "scheduled_payments": "account_id, payee, amount, frequency, status, transaction_id",
}


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything but what depends on the clock."""
    return {
        table: rows(url, f"select {columns} from {table} order by 1, 2, {columns}") for table, columns in TABLES.items()
    }


def test_a_seed_makes_the_same_bank_again(new_bank: Callable[[], str]) -> None:
    def life(past_seed: int, live_seed: int) -> dict[str, list[tuple[Any, ...]]]:
        bank = new_bank()
        migrate(bank)
        load_history(bank, seed=past_seed, customers=10, days=20, until=UNTIL)
        simulate(bank, seed=live_seed, rate=3000, length=0.2)
        return contents(bank)

    first = life(7, 5)
    assert life(7, 5) == first
    assert life(8, 5)["customers"] != first["customers"]
    assert life(7, 6)["transactions"] != first["transactions"]


def test_an_empty_bank_opens_accounts_first(bank: str) -> None:
    migrate(bank)
    assert simulate(bank, seed=1, rate=1, length=0.01).events == {"customer_joined": 10}
    assert simulate(bank, seed=1, **RUSH).events["card_payment"] > 100
    assert rows(bank, UNBALANCED) == []


def test_a_bank_of_two_tables_lives_as_well(bank: str) -> None:
    migrate(bank, upto="0001")
    loaded = load_history(bank, **PAST)
    assert loaded is not None
    assert loaded.accounts > 60
    assert loaded.purchases > 500
    balances = "select sum(account_balance) from checking_account"
    before = rows(bank, balances)
    events = simulate(bank, seed=1, **RUSH).events
    assert set(events) >= {"purchase", "balance_moved", "purchase_corrected", "purchase_returned"}
    assert rows(bank, balances) != before


def test_a_payment_says_what_became_of_it(whole_bank: str) -> None:
    with psycopg.connect(whole_bank) as connection:
        # A debit that a payment made must not be corrected or removed, even when it looks like card spending.
        connection.execute(
            "update transactions set category = 'groceries' from scheduled_payments as payments"
            " where payments.transaction_id = transactions.transaction_id"
        )
    simulate(whole_bank, seed=3, **RUSH)
    statuses = dict(rows(whole_bank, "select status, count(*) from scheduled_payments group by 1"))
    assert set(statuses) == {"scheduled", "executed", "failed", "cancelled"}
    assert statuses["failed"] < statuses["executed"] / 10
    wrong = """
        select payment_id, status from scheduled_payments as payments
        left join transactions as debits using (transaction_id)
        where (status = 'executed') <> (payments.transaction_id is not null)
            or debits.transaction_type = 'credit'
            or debits.account_id <> payments.account_id
            or debits.amount <> payments.amount
    """
    assert rows(whole_bank, wrong) == []
    overdue = "select 1 from scheduled_payments where status = 'scheduled' and due_date < '2026-03-01'"
    assert rows(whole_bank, overdue)


def test_a_standing_order_carried_out_is_due_again(bank: str) -> None:
    migrate(bank)
    with psycopg.connect(bank) as connection:
        connection.execute("insert into checking_account (account_holder_name, account_balance) values ('A', 0)")
        connection.execute(
            "insert into scheduled_payments (account_id, payee, amount, frequency, due_date)"
            " values (1, 'Orbit Mobile', 20, 'monthly', (now() at time zone 'UTC')::date)"
        )
    simulate(bank, seed=1, rate=3000, length=0.1)
    payments = (
        "select status, due_date > (now() at time zone 'UTC')::date from scheduled_payments"
        " where payee = 'Orbit Mobile' order by payment_id"
    )
    assert rows(bank, payments) == [("executed", False), ("scheduled", True)]
    assert rows(bank, "select amount from transactions where category = 'phone'") == [(Decimal(20),)]


def test_salaries_come_on_the_last_working_day(past_bank: str) -> None:
    paid = Counter(
        day.isoformat()
        for (day,) in rows(past_bank, "select transaction_date::date from transactions where category = 'salary'")
    )
    # 31 January 2026 is a Saturday and 28 February one, too.
    on_time = sum(paid[day] for day in ("2025-11-28", "2025-12-31", "2026-01-30", "2026-02-27"))
    assert on_time > 0.6 * paid.total()


def test_the_week_has_a_rhythm(past_bank: str) -> None:
    counts = {
        (category, weekend): count
        for category, weekend, count in rows(
            past_bank,
            "select category, extract(isodow from transaction_date) > 5, count(*)::int from transactions group by 1, 2",
        )
    }

    def a_day(category: str, weekend: bool) -> float:
        return float(counts[category, weekend] / (2 if weekend else 5))

    assert a_day("transport", True) < 0.7 * a_day("transport", False)
    assert a_day("shopping", True) > 1.15 * a_day("shopping", False)


def test_the_night_is_quiet(past_bank: str) -> None:
    ((part,),) = rows(
        past_bank,
        "select avg((extract(hour from transaction_date) < 6)::int) from transactions where category = 'groceries'",
    )
    assert part < 0.01


def test_some_products_are_far_more_popular_than_others(past_bank: str) -> None:
    sold = [n for (n,) in rows(past_bank, "select sum(quantity)::int from purchase_trends group by product order by 1")]
    assert sold[-1] > 8 * sold[len(sold) // 2]


def test_accounts_and_customers_are_not_one_to_one(past_bank: str) -> None:
    owned = Counter(owner for (owner,) in rows(past_bank, "select customer_id from checking_account"))
    assert owned.pop(None) >= 2
    assert set(owned.values()) == {1, 2, 3}


def test_the_notes_are_stored_out_of_line(past_bank: str) -> None:
    # Postgres moves a value out of the row from about 2,000 bytes, counted after compression.
    ((smallest,),) = rows(past_bank, "select min(pg_column_size(kyc_notes)) from customers")
    assert smallest > 2000


@pytest.mark.parametrize("nonsense", [{"rate": 0.0}, {"length": -1.0}])
def test_nonsense_is_refused(bank: str, nonsense: Any) -> None:
    with pytest.raises(SourceError, match="more than zero"):
        simulate(bank, seed=1, **{**RUSH, **nonsense})


def test_a_bank_without_tables_says_what_to_do(bank: str) -> None:
    with pytest.raises(SourceError, match="source migrate"):
        simulate(bank, seed=1, **RUSH)
    with pytest.raises(SourceError, match="source migrate"):
        load_history(bank, **PAST)
