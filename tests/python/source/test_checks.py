"""What capture would silently not carry is named, with SQL that mends it; what it carries is let through."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import conninfo, sql

from source import PUBLICATION, SourceError, migrate
from source.capture import REPLICA_IDENTITY, TableName, open_to_capture
from source.checks import findings, left_out_columns, refuse, unfit
from source.connector import start_capture

PLAIN = "create table t (id int primary key, v text)"
PARTITIONED = """
    create table t (id int, day date, primary key (id, day)) partition by range (day);
    create table first partition of t for values from ('2026-01-01') to ('2026-02-01');
    create table rest partition of t default
"""
KEYLESS = "create table t (id int not null, v text)"


@pytest.fixture
def bank_connection(server: str, bank: str) -> Iterator[psycopg.Connection]:
    """The bank as the server's superuser, who may make a table of any kind, in a transaction that comes to nothing."""
    migrate(bank)
    with psycopg.connect(conninfo.make_conninfo(server, dbname="bank")) as connection:
        yield connection
        connection.rollback()


# What is made, what is altered once capture runs, and what is said of it; where SQL mends it, that is run.
BROKEN = [
    # Of a kind that is never in the log.
    ("create view t as select 1 as id", "", "public.t is a view"),
    ("create materialized view t as select 1 as id", "", "public.t is a materialized view"),
    (
        "create foreign data wrapper w; create server s foreign data wrapper w;"
        " create foreign table t (id int) server s",
        "",
        "public.t is a foreign table",
    ),
    ("create unlogged table t (id int primary key)", "", "public.t is unlogged"),
    (PLAIN.replace(" t ", ' "T" '), "", 'public.t is not there, but public."T" is'),
    (
        f"{PARTITIONED}; create unlogged table late partition of t for values from ('2027-01-01') to ('2028-01-01')",
        "",
        "public.t has the unlogged partition public.late",
    ),
    (f"{PLAIN}; create table child () inherits (t)", "", "public.t has tables that inherit from it"),
    # Rows that nothing tells apart.
    (KEYLESS, "", "public.t has no primary key"),
    ("create table t (id int not null unique, v text)", "", "public.t has no primary key"),
    # Altered while capture runs.
    (PLAIN, "alter table t replica identity nothing", "public.t has a replica identity that does not hold"),
    (
        "create table t (id int primary key, other int not null unique)",
        "alter table t replica identity using index t_other_key",
        "public.t has a replica identity that does not hold",
    ),
    (
        PLAIN,
        "alter table t drop constraint t_pkey; alter table t add primary key (id) deferrable",
        "public.t has a replica identity that does not hold",
    ),
    (
        PARTITIONED,
        "alter table first replica identity nothing",
        "public.t has a replica identity of its partition public.first",
    ),
    (PARTITIONED, "alter table t replica identity nothing", "public.t has a replica identity that does not hold"),
    (PLAIN, "revoke select on t from debezium", "public.t can't be read by debezium"),
    (PLAIN, "revoke usage on schema public from debezium, public", "can't be read by debezium"),
    (PLAIN, "revoke select on t from debezium; grant select (id) on t to debezium", "can't be read by debezium"),
    (PLAIN, "alter table t enable row level security", "public.t has row level security"),
    (
        PLAIN,
        "alter table t enable row level security; create policy large on t using (id > 5)",
        "public.t has row level security",
    ),
    (PLAIN, f"alter publication {PUBLICATION} drop table t", "public.t is not in the publication"),
    (PLAIN, f"drop table t; {PLAIN}; grant select on t to debezium", "public.t is not in the publication"),
    (
        PLAIN,
        f"alter publication {PUBLICATION} drop table t; alter publication {PUBLICATION} add table t (id)",
        "with some of its columns only",
    ),
    (
        PLAIN,
        f"alter publication {PUBLICATION} drop table t; alter publication {PUBLICATION} add table t where (id > 5)",
        "with some of its rows only",
    ),
    (
        PARTITIONED,
        f"alter publication {PUBLICATION} set (publish_via_partition_root = false)",
        "under the names of its partitions",
    ),
    (PLAIN, f"alter publication {PUBLICATION} set (publish = 'insert, update')", "not carry every kind of change"),
    (
        "create table t (id int primary key, twice int generated always as (id * 2) stored)",
        f"alter publication {PUBLICATION} set (publish_generated_columns = none)",
        "leaves out the values of generated columns",
    ),
    (PLAIN, f"drop publication {PUBLICATION}", f"The publication {PUBLICATION} is not there"),
]


@pytest.mark.parametrize(("made", "altered", "said"), BROKEN)
def test_what_capture_would_not_carry_is_one_line_with_what_mends_it(
    bank_connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, made: str, altered: str, said: str
) -> None:
    connection, table = bank_connection, TableName("public", "t")
    monkeypatch.setitem(REPLICA_IDENTITY, "t", "default")
    connection.execute(made.encode())
    if altered:
        assert unfit(connection) == []
        open_to_capture(connection)
        assert findings(connection) == []
        connection.execute(altered.encode())
        (found,) = findings(connection, [table])
    else:
        # Before anything is opened to capture.
        (found,) = unfit(connection, [table])
    assert said in str(found)
    assert "\n" not in str(found)
    if found.mend.startswith(("alter", "grant", "create")) and "…" not in found.mend:
        connection.execute(found.mend.partition(" (no ")[0].encode())
        assert unfit(connection, [table]) == []
        assert not altered or findings(connection) == []


@pytest.mark.parametrize(
    ("made", "identity"),
    [
        (PLAIN, "default"),
        (PLAIN, "full"),
        (PARTITIONED, "default"),
        (PARTITIONED, "full"),
        # Which no default identity could follow.
        ("create table t (id int primary key deferrable, v text)", "default"),
        ("create table t (id int primary key, twice int generated always as (id * 2) stored)", "default"),
        (f"{PLAIN}; alter table t replica identity nothing", "default"),
        (
            f"{PLAIN}; alter table t enable row level security; create policy all_rows on t to debezium using (true)",
            "default",
        ),
        # Another session's, which hides the bank's own from that session alone.
        (f"{PLAIN}; create temporary table t (nothing int)", "default"),
    ],
)
def test_what_can_be_captured_is_made_so(
    bank_connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, made: str, identity: str
) -> None:
    monkeypatch.setitem(REPLICA_IDENTITY, "t", identity)
    bank_connection.execute(made.encode())
    open_to_capture(bank_connection)
    assert findings(bank_connection) == []
    assert left_out_columns(bank_connection) == []


def test_the_keys_own_index_is_as_good_as_the_key(bank_connection: psycopg.Connection) -> None:
    bank_connection.execute("alter table customers replica identity using index customers_pkey")
    assert findings(bank_connection) == []


def test_partitions_that_come_and_go_are_captured(
    bank_connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REPLICA_IDENTITY, "t", "full")
    bank_connection.execute(PARTITIONED)  # type: ignore[arg-type]
    open_to_capture(bank_connection)
    for statement in (
        "create table second partition of t for values from ('2026-02-01') to ('2026-03-01')",
        "alter table t detach partition first",
        "alter table t attach partition first for values from ('2026-01-01') to ('2026-02-01')",
        "drop table rest",
    ):
        bank_connection.execute(statement)  # type: ignore[arg-type]
        assert findings(bank_connection) == []


def test_a_partition_is_not_captured_beside_its_table(
    bank_connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REPLICA_IDENTITY, "t", "full")
    monkeypatch.setitem(REPLICA_IDENTITY, "first", "full")
    bank_connection.execute(PARTITIONED)  # type: ignore[arg-type]
    (found,) = unfit(bank_connection)
    assert str(found).startswith("public.first is a partition of public.t, which is captured")


ODD = [
    "PayOut",
    "Order Items",
    "the holder's",
    'said "so"',
    "per%cent",
    "back`tick",
    "back\\slash",
    "a.b",
    "a(b)|c*",
    "c,omma",
    "Ünï",
    "order",
    "n" * 59 + "éü",
]


def test_any_name_is_captured(bank_connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ODD:
        monkeypatch.setitem(REPLICA_IDENTITY, ('My "Sales"', name), "full")
    bank_connection.execute('create schema "My ""Sales"""')
    for name in ODD:
        table = sql.Identifier('My "Sales"', name)
        bank_connection.execute(sql.SQL("create table {} (id int primary key)").format(table))
    open_to_capture(bank_connection)
    assert findings(bank_connection) == []
    bank_connection.execute('alter table "My ""Sales"""."the holder\'s" replica identity nothing')
    (found,) = findings(bank_connection)
    assert found.mend == 'alter table "My ""Sales"""."the holder\'s" replica identity full'


@pytest.mark.parametrize("names", [("Cards", "cards"), ("daily-rates", "daily_rates"), ("a b", "a'b")])
def test_two_tables_of_one_bronze_table_are_both_named(
    bank_connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    for name in names:
        monkeypatch.setitem(REPLICA_IDENTITY, name, "full")
        table = sql.Identifier("public", name)
        bank_connection.execute(sql.SQL("create table {} (id int primary key)").format(table))
    (found,) = unfit(bank_connection)
    assert "would come to the same Bronze table as" in str(found)
    assert all(name.strip("'") in str(found) for name in names)


def test_columns_that_the_log_does_not_have_are_left_out(
    bank_connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REPLICA_IDENTITY, "t", "full")
    bank_connection.execute('create table t (id int primary key, "Twice it" int generated always as (id * 2) virtual)')
    open_to_capture(bank_connection)
    assert findings(bank_connection) == []
    assert left_out_columns(bank_connection) == [["public", "t", "Twice it"]]


@pytest.mark.parametrize("name", ["100%", "a+b", "a?b", "a/b"])
def test_a_database_that_the_connector_would_not_reach_is_named(
    server: str, new_bank: Callable[[], str], name: str
) -> None:
    bank = conninfo.make_conninfo(new_bank(), dbname=name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("alter database bank rename to {}").format(sql.Identifier(name)))
        try:
            with pytest.raises(
                SourceError, match=r"^The database .* can't be reached by the connector, as its name has"
            ):
                migrate(bank)
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def test_nothing_is_registered_or_opened_for_a_table_that_cannot_be_captured(
    bank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(bank)
    with pytest.raises(SourceError, match=r"^Kafka Connect can't be reached"):
        start_capture("http://127.0.0.1:1", bank)
    with psycopg.connect(bank) as connection:
        connection.execute("alter table transactions replica identity nothing")
        connection.execute("create view seen as select 1 as id")
    with pytest.raises(SourceError, match=r"^public.transactions has a replica .*: alter table public.transactions r"):
        # Nobody is there who could be told.
        start_capture("http://127.0.0.1:1", bank)
    monkeypatch.setitem(REPLICA_IDENTITY, "seen", "full")
    with pytest.raises(SourceError, match=r"^public.seen is a view"):
        migrate(bank)
    with psycopg.connect(bank) as connection:
        identity = connection.execute("select relreplident::text from pg_class where relname = 'transactions'")
        assert identity.fetchone() == ("n",)
        with pytest.raises(SourceError, match=r"transactions.*\n.*seen"):
            refuse(findings(connection))
