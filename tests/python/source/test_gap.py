"""The days a bank has not lived yet: what happened in them is told in time, once, and by the same people."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from banks import PAST, UNBALANCED, UNTIL, rows

from source import SourceError, Summary, behind, catch_up, load_history, migrate, simulate
from source.bank import Event, PlainBank

# Over the end of March, with its salaries, and the first of April, with its rents.
LATER = UNTIL + timedelta(days=25)
SINCE = f"'{UNTIL.isoformat()}'::timestamptz"
TABLES = ("purchase_trends", "checking_account", "customers", "transactions", "scheduled_payments")

# In which database transaction each row came (xmin would be a savepoint's).
COMMITS = """
    create table commits (transaction_id bigint primary key, committed_in xid8 default pg_current_xact_id());
    create function noted() returns trigger language plpgsql as $$
    begin
        insert into commits (transaction_id) values (new.transaction_id);
        return null;
    end $$;
    create trigger noted after insert on transactions for each row execute function noted()
"""

# At each commit, the books of whatever account it touched must balance.
WATCH = """
    create function balanced() returns trigger language plpgsql as $$
    declare touched int := case tg_op when 'DELETE' then old.account_id else new.account_id end;
    begin
        if (select account_balance from checking_account where account_id = touched) <> (
            select sum(case transaction_type when 'credit' then amount else -amount end)
            from transactions where account_id = touched
        ) then
            raise 'The books of account % do not balance', touched;
        end if;
        return null;
    end $$;
    create constraint trigger balanced after insert or update or delete on transactions
        deferrable initially deferred for each row execute function balanced();
    create constraint trigger balanced after insert or update or delete on checking_account
        deferrable initially deferred for each row execute function balanced()
"""


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    return {table: rows(url, f"select * from {table} order by 1") for table in TABLES}


@pytest.fixture(scope="module")
def later_bank(server: str, past_bank: str) -> tuple[str, Summary]:
    """The bank of the past after some more days, to be read only, and what happened in them."""
    name = "later"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name} template past strategy file_copy owner bank_owner".encode())
    url = psycopg.conninfo.make_conninfo(past_bank, dbname=name)
    with psycopg.connect(url) as connection:
        connection.execute(WATCH.encode())
        connection.execute(COMMITS.encode())
    return url, catch_up(url, seed=7, until=LATER)


def test_the_books_balance_at_every_commit(later_bank: tuple[str, Summary]) -> None:
    url, summary = later_bank
    # The rare events are the ones that could break it; the trigger saw each of them.
    assert {"transaction_corrected", "transaction_removed", "transfer"} <= set(summary.events)
    assert rows(url, UNBALANCED) == []


def test_what_happened_is_committed_in_its_order_and_one_by_one(later_bank: tuple[str, Summary]) -> None:
    url, _ = later_bank
    for table, key, at in (
        ("transactions", "transaction_id", "transaction_date"),
        ("purchase_trends", "id", "purchase_date"),
    ):
        ahead = f"select {at} < lag({at}) over (order by {key}) as early from {table}"
        assert rows(url, f"select count(*) from ({ahead}) as them where early") == [(0,)]
    shared = """
        select 1 from transactions join commits using (transaction_id)
        group by account_id, committed_in having count(*) > 1
    """
    assert rows(url, "select count(*) > 1000 from commits") == [(True,)]
    assert rows(url, shared) == []


def test_the_as_of_time_of_a_balance_is_the_simulated_time(later_bank: tuple[str, Summary]) -> None:
    url, _ = later_bank
    # A correction moves a balance without a transaction of its own, so that it may be as of later than the last.
    wrong = f"""
        select account_id from checking_account join transactions using (account_id)
        group by account_id, last_transaction_date
        having max(transaction_date) > last_transaction_date at time zone 'UTC'
            or last_transaction_date at time zone 'UTC' > '{LATER.isoformat()}'
    """
    assert rows(url, wrong) == []
    as_of = "select max(last_transaction_date) at time zone 'UTC' from checking_account"
    assert LATER - timedelta(hours=12) < rows(url, as_of)[0][0] <= LATER


def test_days_go_on_as_they_were(later_bank: tuple[str, Summary]) -> None:
    url, _ = later_bank
    ((before, after),) = rows(
        url,
        f"select count(*) filter (where transaction_date <= {SINCE}) / 120.0,"
        f" count(*) filter (where transaction_date > {SINCE}) / 25.0 from transactions where category <> 'opening'",
    )
    assert 0.8 < after / before < 1.2
    ((before, after),) = rows(
        url,
        "select count(*) filter (where transaction_date < '2026-02-01'),"
        " count(*) filter (where transaction_date > '2026-03-01') from transactions"
        " where category = 'salary' and transaction_date >= '2026-01-01'",
    )
    assert 0.8 < after / before < 1.2
    ((before, after),) = rows(
        url,
        f"select avg(amount) filter (where transaction_date <= {SINCE}),"
        f" avg(amount) filter (where transaction_date > {SINCE}) from transactions where category = 'groceries'",
    )
    assert 0.8 < after / before < 1.25
    quiet = f"""
        select day from generate_series({SINCE}::date + 1, '{LATER.isoformat()}'::date, '1 day') as day
        where not exists (select from transactions where transaction_date::date = day)
            or not exists (select from purchase_trends where purchase_date::date = day)
    """
    assert rows(url, quiet) == []


def test_payments_due_in_the_gap_are_carried_out_or_fail(later_bank: tuple[str, Summary]) -> None:
    url, summary = later_bank
    assert summary.events["payment_failed"] < summary.events["payment_executed"] / 10
    # What was due on the last days is still to come, and a few are overlooked.
    due = f"where due_date > {SINCE}::date and due_date < '{LATER.isoformat()}'::date - 4"
    statuses = dict(rows(url, f"select status, count(*) from scheduled_payments {due} group by 1"))
    assert statuses["executed"] > 150
    assert statuses.get("scheduled", 0) < 0.03 * statuses["executed"]
    late = f"select count(*) from scheduled_payments {due} and status = 'executed' and updated_at::date > due_date + 4"
    assert rows(url, late) == [(0,)]
    orders = f"""
        select count(distinct account_id) from scheduled_payments
        where frequency = 'monthly' and status = 'scheduled' and due_date > '{LATER.isoformat()}'
    """
    assert rows(url, orders)[0][0] > 45


def test_what_is_done_is_not_done_again(later_bank: tuple[str, Summary]) -> None:
    url, _ = later_bank
    before = contents(url)
    assert catch_up(url, seed=8, until=LATER).events == {}
    assert contents(url) == before
    assert behind(url, LATER) == timedelta()


def test_a_call_that_was_broken_off_is_continued(
    new_whole_bank: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    until = UNTIL + timedelta(days=3)
    bank = new_whole_bank()
    catch_up(bank, seed=7, until=until)
    ((whole,),) = rows(bank, "select count(*) from transactions")

    bank = new_whole_bank()
    happen, seen = PlainBank.happen, []

    def break_off(self: PlainBank, event: Event, at: datetime) -> str | None:
        seen.append(at)
        if len(seen) > 150:
            raise KeyboardInterrupt
        return happen(self, event, at)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PlainBank, "happen", break_off)
        catch_up(bank, seed=7, until=until)
    assert rows(bank, UNBALANCED) == []
    ((then,),) = rows(bank, "select max(transaction_date) from transactions")
    assert UNTIL < then < until
    catch_up(bank, seed=7, until=until)
    assert rows(bank, UNBALANCED) == []
    ((continued,),) = rows(bank, "select count(*) from transactions")
    assert abs(continued - whole) < 10
    twice = "select 1 from transactions group by account_id, transaction_date having count(*) > 1"
    assert rows(bank, f"{twice} and max(category) <> 'opening'") == []


def test_a_seed_makes_the_same_days_again(new_whole_bank: Callable[[], str]) -> None:
    def days(seed: int) -> dict[str, list[tuple[Any, ...]]]:
        bank = new_whole_bank()
        catch_up(bank, seed=seed, until=UNTIL + timedelta(days=2))
        return contents(bank)

    first = days(5)
    assert days(5) == first
    assert days(6)["transactions"] != first["transactions"]


def test_a_bank_of_two_tables_catches_up_as_well(bank: str) -> None:
    migrate(bank, upto="0001")
    load_history(bank, **PAST)
    reached: list[datetime] = []
    events = catch_up(bank, seed=1, until=LATER, progress=reached.append).events
    assert events["purchase"] > 150
    assert events["balance_moved"] > 1000
    assert len(reached) == 26
    assert reached == sorted(reached)
    assert reached[-1] == LATER


def test_a_bank_closed_for_long_catches_up_with_sixty_days(bank: str) -> None:
    migrate(bank, upto="0001")
    load_history(bank, seed=7, customers=5, days=20, until=UNTIL)
    until = UNTIL + timedelta(days=100)
    assert timedelta(days=100) < behind(bank, until) < timedelta(days=102)
    catch_up(bank, seed=1, until=until)
    first = f"select min(purchase_date) at time zone 'UTC' from purchase_trends where purchase_date > {SINCE}"
    assert UNTIL + timedelta(days=40) < rows(bank, first)[0][0] < UNTIL + timedelta(days=43)


def test_a_bank_without_a_past_has_nothing_to_continue(bank: str) -> None:
    with pytest.raises(SourceError, match="source migrate"):
        catch_up(bank, seed=1, until=UNTIL)
    migrate(bank)
    assert behind(bank, UNTIL) == timedelta()
    assert catch_up(bank, seed=1, until=UNTIL).events == {}
    assert rows(bank, "select count(*) from purchase_trends") == [(0,)]


def test_times_that_python_cannot_hold_are_not_when_something_last_happened(new_whole_bank: Callable[[], str]) -> None:
    until, bank = UNTIL + timedelta(days=1), new_whole_bank()
    odd = ("infinity", "-infinity", "20000-01-01", "0044-03-15 BC")
    columns = (
        ("purchase_trends", "id", "purchase_date"),
        ("checking_account", "account_id", "last_transaction_date"),
        ("transactions", "transaction_id", "transaction_date"),
        ("customers", "customer_id", "updated_at"),
        ("customers", "customer_id", "created_at"),
        ("scheduled_payments", "payment_id", "due_date"),
        ("scheduled_payments", "payment_id", "updated_at"),
    )
    with psycopg.connect(bank) as connection:
        for table, key, column in columns:
            # The first by their keys, which aren't the last by their times.
            for row, moment in enumerate(odd):
                nth = f"select {key} from {table} order by {key} offset {row} limit 1"
                connection.execute(f"update {table} set {column} = '{moment}' where {key} = ({nth})".encode())
        # All the incomes of one account.
        connection.execute(
            "update transactions set transaction_date = 'infinity' where transaction_type = 'credit' and account_id ="
            " (select account_id from transactions where category = 'salary' order by 1 limit 1)"
        )
    assert timedelta(days=1) <= behind(bank, until) < timedelta(days=2)
    assert catch_up(bank, seed=1, until=until).events["purchase"] > 0
    assert behind(bank, until) == timedelta()
    assert sum(simulate(bank, seed=1, rate=1000, length=0.2).events.values()) > 100

    for moment in odd:
        with psycopg.connect(bank) as connection:
            connection.execute("update purchase_trends set purchase_date = %s", [moment])
            connection.execute("update checking_account set last_transaction_date = %s", [moment])
        assert behind(bank, until) == timedelta()
        assert catch_up(bank, seed=1, until=until).events == {}


def test_an_end_without_a_time_zone_is_refused(bank: str) -> None:
    with pytest.raises(SourceError, match="needs a time zone"):
        catch_up(bank, seed=1, until=UNTIL.replace(tzinfo=None))
