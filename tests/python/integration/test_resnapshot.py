"""Rows that change at the bank without a message: `make resnapshot` brings each kind to Silver, and ends what is gone.

It refuses in one line, before it sends a signal, what would stop the connector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from lanes import Lane, Table, lane
from pipeline import Stack, wait_for

import ingestion
import source
from reconcile.errors import ReconcileError
from reconcile.project import Column, Entity
from reconcile.resnapshot import Outcome, Resnapshot, wish
from reconcile.stores import Lake
from source.resnapshot import Capture, running_capture

CARDS = Table(
    name="cards",
    key="card_id",
    columns={
        "card_id": "int",
        "brand": "string",
        "daily_limit": "int",
        "terms": "string",
        "colour": "string",
        "is_valid": "boolean",
    },
    definition="card_id int primary key, brand brand, daily_limit int, terms text, is_valid boolean",
    in_postgres={"brand": "brand::text"},
)
DAYS = Table(
    name="days",
    key=["account_id", "day"],
    columns={"account_id": "int", "day": "date", "amount": "decimal(10, 2)"},
    definition="account_id int, day date, amount numeric(10, 2),"
    " primary key (account_id, day)) partition by range (day",
)
FEES = Table(
    name="fees",
    key="fee_id",
    columns={"fee_id": "string", "amount": "int", "tax": "int"},
    definition="fee_id text primary key, amount int, tax int generated always as (amount * 2) stored",
)

FILL = """
create table days_1 partition of days for values from ('2026-01-01') to ('2026-02-01');
create table days_2 partition of days for values from ('2026-02-01') to ('2026-03-01');
create table days_3 partition of days for values from ('2026-03-01') to ('2026-04-01');
create table days_4 (like days including all);
insert into cards
select n, case n % 2 when 0 then 'debit' else 'credit' end::brand, n, 'terms ' || n, n > 3
from generate_series(1, 9) as n;
insert into days select n, date '2026-01-31' + n * 7, n + 0.25 from generate_series(0, 8) as n;
insert into days_4 values (40, '2026-04-04', 4.44);
insert into fees select 'fee ' || n, n from generate_series(1, 3) as n;
insert into fees values ('it''s, 100%', 4);
"""

# Each changes rows, and Postgres's log says nothing of it that a publication carries.
WITHOUT_A_MESSAGE = [
    "alter type brand rename value 'debit' to 'maestro'",
    "alter table cards add column colour text default 'blue'",
    "alter table cards alter column daily_limit type bigint using daily_limit * 100",
    "alter table cards drop column terms, add column terms text default 'new terms'",
    "alter table fees alter column tax set expression as (amount * 3)",
    "alter table days detach partition days_1",
    "drop table days_2",
    "alter table days attach partition days_4 for values from ('2026-04-01') to ('2026-05-01')",
]
# What a backup that is restored does, where capture can't see it.
RESTORED = """
delete from cards where card_id = 7;
update cards set is_valid = not is_valid where card_id = 8;
delete from fees where fee_id = 'it''s, 100%';
insert into cards (card_id, brand) values (10, 'credit');
"""


@dataclass
class Healed:
    """What was there before, after, and after a second time."""

    lane: Lane
    capture: Capture
    before: str = ""
    after: str = ""
    second: str = ""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    again: dict[str, Outcome] = field(default_factory=dict)


def entity(lane: Lane, table: Table) -> Entity:
    return Entity(
        name=table.staging,
        bank_table=table.name,
        bronze=f"{lane.bronze}.{table.name}",
        changes=f"{lane.silver}.{table.base}",
        silver=f"{lane.silver}.{table.staging}",
        key=tuple(table.keys),
        columns=tuple(Column(name, data_type, name) for name, data_type in table.columns.items()),
    )


def resnapshot(healed: Healed, *tables: str, keys: str | None = None) -> dict[str, Outcome]:
    one = healed.lane

    def bring(entities: list[Entity]) -> None:
        one.ingest()
        bases = [found.changes.split(".")[-1] for found in entities]
        one.build("run", "--select", *(f"{base}+" for base in bases))

    config = ingestion.Config.from_environment({**one.stack.environment, **one.environment})
    with source.connect(one.stack.database_url) as connection:
        wishes = [wish(connection, healed.capture, f"{one.name}.{table}", keys, None) for table in tables]
        connection.commit()
        work = Resnapshot(
            one.stack.database_url,
            connection,
            healed.capture,
            Lake(one.stack.spark),
            config,
            entities=[entity(one, table) for table in one.tables.values()],
            bring=bring,
        )
        return {outcome.table.name: outcome for outcome in work.run(wishes)}


@pytest.fixture(scope="module")
def healed(stack: Stack) -> Iterator[Healed]:
    with lane(stack, "resnapshot", []) as one:
        one.sql(f"grant usage on schema {one.name} to {source.CAPTURE_ROLE}")
        one.sql("create type brand as enum ('debit', 'credit')")
        one.tables.update({table.name: table for table in (CARDS, DAYS, FEES)})
        for table in one.tables.values():
            one.sql(f"create table {table.name} ({table.definition})")
            one.sql(f"grant select on {table.name} to {source.CAPTURE_ROLE}")
        one.sql(FILL)
        one.sql(f"alter publication {one.name} add table cards, days, fees")
        one.sql(
            f"alter publication {one.name} set (publish_via_partition_root = true, publish_generated_columns = stored)"
        )
        one.capture()
        one.round()
        with source.connect(stack.database_url) as connection:
            healed = Healed(one, running_capture(connection, stack.environment["CONNECT_URL"], one.name))
        for statement in WITHOUT_A_MESSAGE:
            one.sql(statement)
        one.sql(f"alter publication {one.name} drop table cards, fees")
        one.sql(RESTORED)
        one.sql(f"alter publication {one.name} add table cards, fees")
        healed.before = one.differences()
        healed.outcomes = resnapshot(healed, "cards", "days", "fees")
        healed.after = one.differences()
        # Nothing else happens to these rows: their second reading must not be taken for the first, told again.
        one.sql("alter type brand rename value 'maestro' to 'giro'")
        healed.again = resnapshot(healed, "cards", keys="2,4, 6,8")
        healed.second = one.differences()
        yield healed


def test_silver_kept_the_old_values_and_has_the_new_ones_after_it(healed: Healed) -> None:
    for table in (CARDS, DAYS, FEES):
        assert table.name in healed.before
    assert healed.after == ""


def test_rows_are_read_and_what_is_gone_is_ended(healed: Healed) -> None:
    found = {name: (one.read, one.ended, one.unreadable) for name, one in healed.outcomes.items()}
    assert found == {"cards": (9, 1, 0), "days": (5, 5, 0), "fees": (3, 1, 0)}


def test_a_second_reading_of_some_keys_is_no_replay(healed: Healed) -> None:
    assert healed.second == ""
    assert (healed.again["cards"].read, healed.again["cards"].ended) == (4, 0)


# What is asked for, in words of the command, and what is said; `{schema}` is the tests' own.
REFUSED = {
    ("nowhere",): "The bank has no table nowhere",
    ("",): "Say which table to read again",
    ("{schema}.rights",): "{schema}.rights is not captured",
    ("{schema}.it's odd",): "{schema}.it's odd can't be named in a signal",
    ("{schema}.Seen",): "{schema}.Seen is a view, and Debezium captures tables only",
    ("{schema}.unlogged_notes",): "{schema}.unlogged_notes is unlogged",
    ("{schema}.days_3",): "{schema}.days_3 is a partition of {schema}.days",
    ("{schema}.without_key",): "{schema}.without_key has no primary key",
    ("{schema}.secret",): "debezium may not read {schema}.secret. In the bank: grant select",
    ("{schema}.cards", "1,two"): "KEYS names what is no card_id",
    ("{schema}.cards", " , "): "Say which keys to read again",
    ("{schema}.cards", "1,99"): "Neither {schema}.cards nor Silver has a row with card_id 99",
    ("{schema}.days", "1"): "The key of {schema}.days is 2 columns (account_id, day)",
    ("{schema}.cards", None, "nosuch = 1"): "Postgres refuses WHERE: column",
    ("{schema}.cards", None, "true) --"): "WHERE must be one line without a question mark and without a comment",
    ("{schema}.cards", None, "true)"): "Postgres refuses WHERE: syntax error",
    ("{schema}.cards", None, "1 / (card_id - 1) > 0"): "Postgres refuses WHERE: division by zero",
    ("{schema}.cards", None, "exists (select from {schema}.fees)"): "WHERE may use columns of {schema}.cards",
    ("{schema}.cards", None, "settings ? 'a'"): "WHERE must be one line without a question mark",
    ("{schema}.cards", "1", "true"): "Say which rows by KEYS or by WHERE, not by both",
}


@pytest.fixture(scope="module")
def odd(healed: Healed) -> Iterator[Healed]:
    """Tables that can't be read again, each for a reason of its own."""
    name = healed.lane.name
    healed.lane.sql(
        'create table "it\'s odd" (id int primary key); create table rights (id int primary key);'
        'create view "Seen" as select 1 as id; create unlogged table unlogged_notes (id int primary key);'
        "create table without_key (id int); create table secret (id int primary key);"
        f"grant select on without_key to debezium; alter publication {name} add table without_key, secret"
    )
    added = tuple(f"{name}.{table}" for table in ("without_key", "secret"))
    yield replace(healed, capture=replace(healed.capture, tables=(*healed.capture.tables, *added)))
    healed.lane.sql(f"alter publication {name} drop table without_key, secret")


@pytest.mark.parametrize("asked", REFUSED)
def test_what_would_stop_the_connector_is_refused_in_one_line(odd: Healed, asked: tuple[str | None, ...]) -> None:
    one = odd.lane

    def signals() -> int:
        return int(one.sql("select count(*) as sent from debezium.signal where type = 'execute-snapshot'")[0]["sent"])

    before = signals()
    words = [word and word.replace("{schema}", one.name) for word in asked]
    text, keys, where = [*words, None, None][:3]
    with source.connect(one.stack.database_url) as connection:
        config = ingestion.Config.from_environment({**one.stack.environment, **one.environment})
        with pytest.raises((source.SourceError, ReconcileError)) as refused:
            wishes = [wish(connection, odd.capture, text or "", keys, where)]
            Resnapshot(
                one.stack.database_url,
                connection,
                odd.capture,
                Lake(one.stack.spark),
                config,
                entities=[entity(one, table) for table in one.tables.values()],
                bring=lambda entities: None,
            ).run(wishes)
    said = str(refused.value)
    assert said.startswith(REFUSED[asked].replace("{schema}", one.name))
    assert "\n" not in said
    assert signals() == before


def test_a_connector_that_does_not_run_gets_no_signal(healed: Healed) -> None:
    one = healed.lane
    connect_url = one.stack.environment["CONNECT_URL"]
    with source.connect(one.stack.database_url) as connection:
        with pytest.raises(source.SourceError, match=r"^There is no connector nobody. Register it with: make up$"):
            running_capture(connection, connect_url, "nobody")
        one.tell_connector("PUT", "/pause")

        def refusal() -> str:
            try:
                running_capture(connection, connect_url, one.name)
            except source.SourceError as error:
                return str(error)
            return ""

        said = wait_for(refusal, "the connector is paused")
    assert said.startswith(f"The connector {one.name} does not run (")
    assert said.endswith("Start it with: make up")
