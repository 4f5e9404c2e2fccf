"""Schema, roles and what the capture may see."""

from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, errors

from source import CAPTURE_ROLE, DATABASE, OWNER_ROLE, PUBLICATION, SourceError, bootstrap, migrate

CAPTURED = {"purchase_trends", "checking_account", "customers", "transactions", "scheduled_payments"}


def published(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute(
        "select schemaname || '.' || tablename from pg_publication_tables where pubname = %s", [PUBLICATION]
    )
    return {name for (name,) in rows}


def test_each_migration_is_applied_once(bank: str) -> None:
    assert migrate(bank, upto="0001") == ["0001_purchases_and_accounts"]
    later = migrate(bank)
    assert [name[:4] for name in later] == ["0002", "0003", "0004"]
    assert migrate(bank) == []


def test_a_failed_migration_leaves_nothing_behind(bank: str) -> None:
    migrate(bank, upto="0001")
    with psycopg.connect(bank) as connection:
        # In the way of the last statement of 0002.
        connection.execute("alter table checking_account add column customer_id int")
    with pytest.raises(errors.DuplicateColumn):
        migrate(bank)
    with psycopg.connect(bank) as connection:
        assert connection.execute("select to_regclass('customers')").fetchone() == (None,)
        connection.execute("alter table checking_account drop column customer_id")
    assert len(migrate(bank)) == 3


def test_each_migration_commits_on_its_own(bank: str) -> None:
    with psycopg.connect(bank) as connection:
        # In the way of 0003.
        connection.execute("create table transactions ()")
    with pytest.raises(errors.DuplicateTable):
        migrate(bank)
    with psycopg.connect(bank) as connection:
        assert connection.execute("select count(*) from customers").fetchone() == (0,)
        connection.execute("drop table transactions")
    assert [name[:4] for name in migrate(bank)] == ["0003", "0004"]


def test_an_unknown_migration_is_named(bank: str) -> None:
    with pytest.raises(SourceError, match=r"no migration '0099'.*0001"):
        migrate(bank, upto="0099")


def test_a_bank_of_two_tables_is_taken_over_and_captured(bank: str) -> None:
    with psycopg.connect(bank) as connection:
        connection.execute(
            "create table purchase_trends (id serial primary key, product varchar(100) not null,"
            " quantity int not null, purchase_date timestamp default current_timestamp)"
        )
        connection.execute("insert into purchase_trends (product, quantity) values ('A', 1)")
    migrate(bank, upto="0001")
    with psycopg.connect(bank) as connection:
        assert connection.execute("select count(*) from purchase_trends").fetchone() == (1,)
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        assert {name for (name,) in tables} == {"purchase_trends", "checking_account"}
        assert published(connection) == {
            "public.purchase_trends",
            "public.checking_account",
            "debezium.signal",
            "debezium.heartbeat",
        }


def test_the_publication_follows_the_tables(bank: str) -> None:
    migrate(bank, upto="0001")
    migrate(bank)
    with psycopg.connect(bank) as connection:
        assert published(connection) == {f"public.{name}" for name in CAPTURED} | {
            "debezium.signal",
            "debezium.heartbeat",
        }


def test_replica_identity_is_full_except_for_the_large_notes(bank: str) -> None:
    migrate(bank)
    with psycopg.connect(bank) as connection:
        identities: dict[str, str] = dict(
            connection.execute(
                "select relname, relreplident::text from pg_class where relname = any(%s)", [list(CAPTURED)]
            ).fetchall()
        )
    assert identities == {name: "d" if name == "customers" else "f" for name in CAPTURED}


def test_the_capture_can_read_and_stream_what_is_published(bank: str, capture: str) -> None:
    migrate(bank)
    with psycopg.connect(capture, autocommit=True) as connection:
        for table in CAPTURED:
            connection.execute(f"select * from {table}".encode())
        connection.execute("insert into debezium.signal values ('1', 'log', '{}')")
        connection.execute("select * from debezium.signal")
        beat = "insert into debezium.heartbeat values (1, now()) on conflict (id) do update set beat_at = now()"
        connection.execute(beat)
        connection.execute(beat)
        connection.execute("select pg_create_logical_replication_slot('test_slot', 'pgoutput')")
        try:
            with psycopg.connect(bank) as owner:
                owner.execute("insert into purchase_trends (product, quantity) values ('Streamed', 1)")
            changes = connection.execute(
                "select data from pg_logical_slot_peek_binary_changes('test_slot', null, null,"
                " 'proto_version', '1', 'publication_names', 'bank_publication')"
            ).fetchall()
            assert any(b"Streamed" in data for (data,) in changes)
        finally:
            connection.execute("select pg_drop_replication_slot('test_slot')")


def test_the_capture_can_do_nothing_else(bank: str, capture: str) -> None:
    migrate(bank)
    with psycopg.connect(bank) as owner:
        owner.execute("create table salaries (amount int)")
    forbidden = [
        "select * from salaries",
        "select * from migrations.applied",
        *(f"insert into {table} default values" for table in CAPTURED),
        *(f"delete from {table}" for table in CAPTURED),
        "update checking_account set account_balance = 0",
        "truncate transactions",
        "delete from debezium.signal",
        "create table public.mine ()",
        "create table debezium.mine ()",
        "create schema mine",
        "create temporary table mine ()",
        "create role mine",
        "alter publication bank_publication drop table customers",
    ]
    with psycopg.connect(capture, autocommit=True) as connection:
        for statement in forbidden:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_the_owner_is_no_superuser(bank: str) -> None:
    with psycopg.connect(bank) as connection:
        flags = connection.execute(
            "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
            " from pg_roles where rolname = current_user"
        ).fetchone()
    assert flags == (False,) * 5


def test_bootstrap_again_keeps_the_data_and_changes_the_passwords(server: str, bank: str) -> None:
    migrate(bank)
    bootstrap(server, owner_password="another one", capture_password="a third")
    with pytest.raises(SourceError, match="refused user bank_owner: check the password"):
        migrate(bank)
    assert migrate(conninfo.make_conninfo(bank, password="another one")) == []
    psycopg.connect(conninfo.make_conninfo(bank, user=CAPTURE_ROLE, password="a third")).close()


def test_no_password_reaches_the_server_log(server: str, server_log: Path, bank: str) -> None:
    talkative = conninfo.make_conninfo(server, options="-c log_statement=all")
    bootstrap(talkative, owner_password="swordfish-owner", capture_password="swordfish-capture")
    log = server_log.read_text()
    assert f'alter role "{OWNER_ROLE}"' in log
    assert "SCRAM-SHA-256$" in log
    assert "swordfish" not in log


def test_a_missing_database_says_what_to_do(bank: str) -> None:
    with pytest.raises(SourceError, match=r'"nobank" does not exist.*source bootstrap'):
        migrate(conninfo.make_conninfo(bank, dbname="nobank"))


def test_bootstrap_needs_a_superuser_and_passwords(server: str, bank: str) -> None:
    with pytest.raises(SourceError, match="no superuser"):
        bootstrap(bank, owner_password="a", capture_password="b")
    with pytest.raises(SourceError, match="needs a password"):
        bootstrap(server, owner_password="a", capture_password="")


def test_times_without_a_zone_are_utc(server: str, bank: str) -> None:
    migrate(bank)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("alter system set timezone to 'Asia/Tokyo'")
        connection.execute("select pg_reload_conf()")
    try:
        with psycopg.connect(conninfo.make_conninfo(bank, dbname=DATABASE)) as connection:
            row = connection.execute(
                "insert into purchase_trends (product, quantity) values ('A', 1)"
                " returning purchase_date = now() at time zone 'UTC'"
            ).fetchone()
        assert row == (True,)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("alter system reset timezone")
            connection.execute("select pg_reload_conf()")
