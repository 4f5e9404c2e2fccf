"""Tables of odd kinds and names are captured as the bank's own are, and reconciliation knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from dbt.cli.main import dbtRunner
from lanes import Lane, Table, lane
from pipeline import Stack

from reconcile.check import reconcile
from reconcile.project import Project, from_manifest
from reconcile.stores import Bank, Lake

ODD_TABLE = 'Holder\'s "order" 100% `x`\\a.b,c '
ODD_IN_BRONZE = "holder_s__order__100___x__a_b_c_"
# Of 63 bytes, as many as Postgres takes.
LONG_TABLE = "n" * 59 + "éü"
# Silver's name, the bank's, and one more thing that a name may have in it.
ODD_COLUMNS = {
    "order_no": "Order No.",
    "holder": "holder's name",
    "said": 'said "so"',
    "share": "100%",
    "ticked": "back`tick",
    "slashed": "back\\slash",
    "dotted": "a.b",
    "braced": "{x}[0]|(y)",
    "umlaut": "größe",
}


def definition(columns: dict[str, str], key: str) -> str:
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in columns}
    typed = ", ".join(f"{quoted[name]} {data_type}" for name, data_type in columns.items())
    return f"{typed}, primary key ({quoted[key]})"


TABLES = [
    Table(
        "parts",
        key=["part_id", "sold_on"],
        columns={"part_id": "int", "sold_on": "date", "note": "string"},
        definition="part_id int, sold_on date, note text, primary key (part_id, sold_on)",
        options="partition by range (sold_on)",
        replica_identity="full",
        histories={"parts_history": None},
    ),
    Table(
        "computed",
        key="id",
        columns={"id": "int", "net": "int", "gross": "int", "valid_to": "string"},
        fields={"valid_to": "label"},
        definition=(
            "id int primary key, net int, gross int generated always as (net + net / 5) stored,"
            ' "Shown, as: text" text generated always as (net::text) virtual,'
            " label text generated always as (repeat('x', net)) stored"
        ),
    ),
    Table(
        ODD_IN_BRONZE,
        in_bank=ODD_TABLE,
        key="order_no",
        columns={name: "int" if name == "order_no" else "string" for name in ODD_COLUMNS},
        fields=ODD_COLUMNS,
        definition=definition(
            {name: "int" if name == "Order No." else "text" for name in ODD_COLUMNS.values()}, "Order No."
        ),
        histories={"odd_history": ["holder", "share", "ticked"]},
    ),
    Table(
        "n" * 59 + "__",
        in_bank=LONG_TABLE,
        key="id",
        columns={"id": "int", "payout": "string"},
        fields={"payout": "PayOut"},
        definition='id int primary key, "PayOut" text',
        replica_identity="full",
    ),
]


@dataclass
class Story:
    """What was seen of the tables on their way, in the order of the fields."""

    findings: list[str]
    differences: str
    drift: list[str]
    reconciled: dict[str, Counter[str]]
    spoiled: list[str]
    uncaptured: dict[str, Counter[str]]
    altered: list[str]
    refused: str


@pytest.fixture(scope="module")
def story(stack: Stack) -> Iterator[Story]:
    with lane(stack, "odd", TABLES) as one:
        yield tell(one)


def tell(one: Lane) -> Story:
    odd = one.tables[ODD_IN_BRONZE].sql_name
    one.sql("""
        create table january partition of parts for values from ('2026-01-01') to ('2026-02-01');
        create table february partition of parts for values from ('2026-02-01') to ('2026-03-01');
        insert into parts values (1, '2026-01-05', 'old'), (2, '2026-02-05', 'old');
        insert into computed (id, net) values (1, 10), (2, 20), (3, 9999);
    """)
    row = ", ".join(f"'{number}'" for number, _ in enumerate(list(ODD_COLUMNS)[1:]))
    one.sql(f"insert into {odd} values (1, {row}), (2, {row})")
    one.sql(f"insert into {one.tables['n' * 59 + '__'].sql_name} values (1, 'a'), (2, 'b')")
    findings = one.findings()
    one.capture()
    one.wait_until_captured()
    # Partitions that came later, were attached and detached empty, and rows that moved from one to the other.
    one.sql("""
        create table march partition of parts for values from ('2026-03-01') to ('2026-04-01');
        create table april (like parts including all);
        alter table parts attach partition april for values from ('2026-04-01') to ('2026-05-01');
    """)
    one.sql("""
        insert into parts values (3, '2026-03-03', 'new'), (4, '2026-04-04', 'new'), (5, '2026-04-05', 'new');
        update parts set note = 'moved', sold_on = '2026-03-05' where part_id = 2;
        update parts set note = 'changed' where part_id = 3;
        delete from parts where part_id in (1, 5);
    """)
    one.sql("""
        delete from parts where part_id = 4;
        alter table parts detach partition april;
        drop table april;
        insert into parts values (6, '2026-01-06', 'into the first');
    """)
    one.sql("""
        insert into computed (id, net) values (4, 40);
        update computed set net = 100 where id = 1;
        update computed set id = 33 where id = 3;
        delete from computed where id = 2;
    """)
    one.sql(f"""update {odd} set "holder's name" = 'O''Neil', "100%" = null where "Order No." = 1""")
    one.sql(f'delete from {odd} where "Order No." = 2')
    one.sql(f'update {one.tables["n" * 59 + "__"].sql_name} set "PayOut" = null where id = 2')
    # A value that its type does not take, in a column whose name is in the reason.
    one.send(ODD_IN_BRONZE, [(b'{"Order No.":"nine"}', b'{"op":"c","after":{"Order No.":"nine"},"source":{"lsn":1}}')])
    one.round()
    differences = one.differences()
    spoiled = one.stack.rows(f"select reason from {one.silver}.quarantined_messages")
    drift = one.stack.rows(f"select field_name from {one.silver}.schema_drift")
    project = read(one)
    as_captured = reconciled(one, project)
    # What capture can't know of: there is no message.
    one.sql("""
        alter table parts detach partition march;
        truncate january;
        create table may (like parts including all);
        insert into may values (7, '2026-05-07', 'before it was attached');
        alter table parts attach partition may for values from ('2026-05-01') to ('2026-06-01');
    """)
    one.wait_until_captured()
    uncaptured = reconciled(one, project)
    history = "{{ history(ref('base_bank__computed_changes'), key='id') }}"
    (one.project.bank / "history" / "computed_history.sql").write_text(history)
    refused = one.dbt("run", "--select", "computed_history")
    assert refused.returncode == 1
    one.sql(f"alter table {odd} replica identity nothing")
    return Story(
        findings=findings,
        differences=differences,
        drift=[row["field_name"] for row in drift],
        reconciled=as_captured,
        spoiled=[row["reason"] for row in spoiled],
        uncaptured=uncaptured,
        altered=one.findings(),
        refused=refused.stdout,
    )


def read(one: Lane) -> Project:
    """The lane's project, as reconciliation reads it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**one.stack.environment, **one.environment}.items():
            patch.setenv(name, value)
        words = ["--quiet", "parse", "--no-partial-parse", "--vars", f"{{bronze_schema: {one.bronze}}}"]
        folders = {"project": one.project.folder, "profiles": one.project.folder}
        words += [word for name, folder in folders.items() for word in (f"--{name}-dir", str(folder))]
        words += ["--target-path", str(one.work / "parsed"), "--log-path", str(one.work / "logs")]
        parsed = dbtRunner().invoke(words)
    assert parsed.success
    return from_manifest(parsed.result)


def reconciled(one: Lane, project: Project) -> dict[str, Counter[str]]:
    """How many rows of each table of the bank differ, by how they do."""
    with psycopg.connect(one.stack.database_url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        results = list(reconcile(project, Bank(connection), Lake(one.stack.spark), limit=5))
    return {result.comparison.against: result.counts for result in results}


def test_they_can_be_captured(story: Story) -> None:
    assert story.findings == []


def test_silver_is_what_postgres_holds(story: Story) -> None:
    assert story.differences == ""


def test_a_virtual_column_is_left_out(story: Story) -> None:
    assert story.drift == []


def test_reconciliation_finds_them_by_their_names_in_the_bank(story: Story) -> None:
    assert len(story.reconciled) == len(TABLES)
    assert any(ODD_TABLE in against for against in story.reconciled)
    assert not any(story.reconciled.values()), story.reconciled


def test_the_reason_names_the_column_of_the_bank(story: Story) -> None:
    assert story.spoiled == ["Order No. can't be read as int"]


def test_reconciliation_finds_partitions_that_took_rows_along(story: Story) -> None:
    found = {against.rpartition(".")[2]: dict(counts) for against, counts in story.uncaptured.items() if counts}
    assert found == {"parts": {"missing": 1, "too many": 3}}


def test_an_identity_that_was_altered_is_found(story: Story) -> None:
    (found,) = story.altered
    assert "replica identity that does not hold its primary key" in found
    assert found.endswith("replica identity full")


def test_a_name_of_a_historys_own_is_refused_with_what_to_write(story: Story) -> None:
    assert "computed_history: valid_to is a name of a history's own" in story.refused
    assert "{name: bank_valid_to, config: {meta: {field: label}}}" in story.refused
