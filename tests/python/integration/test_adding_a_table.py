"""What docs/adding-a-table.md says, done word for word; then the table changes in mid-stream, and messages spoil."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg.rows
import pytest
from pipeline import PROJECT, Stack
from rounds import BANK, Round, paragraphs
from truth import Rows, difference

PAGE = PROJECT / "docs" / "adding-a-table.md"
# A paragraph that names a file, if there is one, and the block after it.
STEP = re.compile(r"(?:^([^\n]*`[^\n]*)\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What `make` and a shell with the environment activated run.
COMMANDS = {
    "make up": ["local", "up"],
    "make resnapshot TABLE=cards": ["reconcile", "resnapshot", "cards"],
}

# What Silver must hold, where it isn't the column as it is.
COLUMNS = """
    card_id, account_id, pin_attempts, brand::text, country, holder, terms,
    token::text, settings::text, last_address::text,
    labels, limits_by_month, photo, daily_limit, points, risk_score, distance_km, is_virtual, expires_on,
    printed_at at time zone 'UTC' as printed_at, issue_time as issued_at
"""

# Columns that the bank gives names which the pipeline or SQL has for something else; by their name in Silver.
NAMES = {
    name: field
    for field in (
        *("_version", "_message", "change", "clock", "reset", "resets", "value", "newest", "existing", "column_names"),
        *("has_moved", "select", "true", "payload", "holder's name"),
    )
    for name in (field,)
} | {"bank_is_deleted": "is_deleted", "grand_total": "Grand Total"}
TYPES = {"bank_is_deleted": "boolean", "_version": "int", "grand_total": "int"}


@dataclass
class Added:
    """The copy of the project that the page was followed in."""

    stack: Stack
    folder: Path

    def run(self, *words: str) -> None:
        """`python -m …` in the copy, which must succeed."""
        result = self.stack.run(*words, folder=self.folder)
        assert result.returncode == 0, result.stdout + result.stderr

    def dbt(self, *words: str) -> str:
        """dbt in the copy, which must succeed; what it said."""
        result = self.stack.run(
            *("dbt.cli.main", "--no-use-colors", "--log-path", "logs", *words), folder=self.folder, timeout=400
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def refused(self, *words: str) -> str:
        """dbt in the copy, which must not succeed; what it said."""
        result = self.stack.run(
            *("dbt.cli.main", "--no-use-colors", "--log-path", "logs", *words), folder=self.folder, timeout=400
        )
        assert result.returncode != 0, result.stdout
        return result.stdout

    @contextmanager
    def declared(self, before: str, after: str) -> Iterator[None]:
        """The base models' YAML with one text in place of another."""
        yaml = self.folder / "models/staging/bank/base/_bank__base_models.yml"
        text = yaml.read_text()
        assert before in text
        yaml.write_text(text.replace(before, after))
        yield
        yaml.write_text(text)

    def play(self, file: str) -> None:
        with self.stack.connect() as connection:
            for paragraph in paragraphs(BANK / file):
                connection.execute(paragraph)

    def follow(self, place: str, language: str, block: str) -> None:
        """Do what one block of the page says."""
        if not language:
            for line in block.splitlines():
                self.command(line)
        else:
            path, *anchor = re.findall(r"`([^`]+)`", place)[:2]
            file = self.folder / path
            if "a new file" in place:
                assert not file.exists()
                file.write_text(block)
            elif "instead of what is there" in place:
                assert file.exists()
                file.write_text(block)
            elif "at the end" in place:
                file.write_text(file.read_text() + block)
            else:
                assert "after" in place, place
                before, found, after = file.read_text().partition(anchor[0] + "\n")
                assert found, f"{path} has no {anchor[0]}"
                file.write_text(before + found + block + after)

    def command(self, line: str) -> None:
        if line in COMMANDS:
            self.run(*COMMANDS[line])
        else:
            assert line.startswith("dbt "), line
            self.dbt(*shlex.split(line)[1:])
        if line == "make up":
            # Rows that the table held before it was captured, for all that the connector knows.
            self.play("cards_rows.psql")

    def land(self) -> None:
        self.stack.wait_until_captured()
        self.run("ingestion")

    def expected(self, columns: str = COLUMNS) -> Rows:
        with self.stack.connect() as connection, connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            return cursor.execute(f"select {columns} from cards").fetchall()

    def actual(self, names: list[str]) -> Rows:
        quoted = ", ".join("`" + name.replace("`", "``") + "`" for name in names)
        query = f"select {quoted} from silver.stg_bank__cards where not is_deleted"
        return self.stack.rows(query)


@pytest.fixture(scope="module")
def added(stack: Stack, after_the_snapshot: Round) -> Added:
    """The page, followed to the last command of its four steps."""
    folder = stack.work / "project"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in files.rstrip("\0").split("\0"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    added = Added(stack, folder)
    steps, _, _ = PAGE.read_text().partition("## When the table changes")
    for place, language, block in STEP.findall(steps):
        added.follow(place, language, block)
    return added


def test_each_type_arrives_as_postgres_has_it(added: Added) -> None:
    expected = added.expected()
    assert len(expected) == 3
    assert not difference(expected, added.actual(list(expected[0])))
    times = added.stack.rows("select card_id, active_for, opens_at from silver.stg_bank__cards order by card_id")
    assert [(row["active_for"], row["opens_at"]) for row in times] == [
        (None, None),
        ("P1Y2M3DT4H5M6.789S", "23:59:59.123456Z"),
        (None, "00:00:00Z"),
    ]


def test_it_is_reconciled_without_being_told(added: Added) -> None:
    result = added.stack.run("reconcile", folder=added.folder)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r" silver.stg_bank__cards +public.cards +3 +3 *$", result.stdout, re.MULTILINE), result.stdout
    assert (
        "silver.stg_bank__cards: not compared, as Postgres writes it differently: last_address, active_for, opens_at"
        in result.stdout
    )


KEY = b'{"card_id":1}'


def update(after: bytes, op: bytes = b"u", source: bytes = b'{"lsn":1}') -> bytes:
    """A message of the connector's form."""
    return b'{"op":"%b","after":%b,"source":%b}' % (op, after, source)


NO_JSON = "not JSON, or not of the form of a Debezium envelope"
# Each message and why it can't be decoded.
POISON: list[tuple[bytes | None, bytes, str]] = [
    (KEY, b"no JSON at all", NO_JSON),
    (KEY, update(KEY)[:-3], NO_JSON),
    (KEY, update(b"[" * 3000 + b"]" * 3000), NO_JSON),
    (KEY, b"long" * 250_000, NO_JSON),
    (KEY, b'{"before":null,"card_id":1,"holder":"flat"}', "not a Debezium envelope"),
    (KEY, update(KEY, op=b"x"), "unknown operation x"),
    (KEY, update(b'{"card_id":1,"account_id":"many"}'), "account_id can't be read as int"),
    (KEY, update(b'{"card_id":1,"points":"1e99"}'), "points can't be read as decimal(31, 6)"),
    (KEY, update(b'{"card_id":1,"holder":"\xff"}'), "not UTF-8"),
    (b'{"account_id":1}', update(KEY), "no key card_id"),
    (None, update(KEY), "no key card_id"),
    (KEY, update(KEY, source=b"{}"), "no position in the log (source.lsn)"),
    (KEY, update(b"null"), "no row after the change"),
]
# On the same topic, and nothing to worry about.
MARKERS: list[tuple[bytes | None, bytes | None]] = [
    (b'{"card_id":1}', None),
    (b'{"serverName":"bank"}', b'{"ts_ms":1795456877115}'),
    (b'{"id":"571:53195832"}', b'{"status":"END","id":"571:53195832","event_count":2,"ts_ms":1795456877115}'),
]


@dataclass
class Changed:
    """What there was when the table had changed and messages had spoiled, and after what the page says to do then."""

    drift: list[dict[str, Any]]
    first_with_note: int
    quarantined: list[dict[str, Any]]
    told: str
    quarantined_afterwards: list[dict[str, Any]]


QUARANTINED = "select * from silver.quarantined_messages where bronze_table = 'cards' order by _cdc_offset"
# Not the views that they read: whatever a run is asked for, these know the table afterwards.
TESTS = ["every_bronze_message_is_accounted_for", "every_field_is_declared", "no_message_is_in_quarantine"]


def declaration(name: str) -> str:
    """A line of YAML for a column of NAMES."""
    meta = {"meta": {"field": NAMES[name]}} if NAMES[name] != name else {}
    return json.dumps({"name": name, "data_type": TYPES.get(name, "string"), "description": "A test.", "config": meta})


@pytest.fixture(scope="module")
def changed(added: Added) -> Changed:
    added.play("cards_changes.psql")
    added.stack.wait_until_captured()
    added.stack.send("bank.public.cards", [(key, value) for key, value, _ in POISON] + MARKERS)
    added.land()
    told = added.dbt("build", "--select", "base_bank__card_changes+", *TESTS)
    drift = added.stack.rows("select * from silver.schema_drift where bronze_table = 'cards'")
    quarantined = added.stack.rows(QUARANTINED)
    first_with_note = added.stack.value(
        "select min(offset) from bronze.cards where cast(value as string) like '%\"note\":%'"
    )

    yaml = added.folder / "models/staging/bank/base/_bank__base_models.yml"
    text = yaml.read_text()
    for before, after in (
        ("{name: pin_attempts, data_type: smallint,", "{name: pin_attempts, data_type: int,"),
        ('{name: daily_limit, data_type: "decimal(10, 2)",', '{name: daily_limit, data_type: "decimal(12, 2)",'),
        ("{name: country, data_type: string,", "{name: issued_in, data_type: string,"),
        (
            "{name: distance_km, data_type: double, description: How far from home it was used.}",
            "\n      - ".join(
                ["{name: note, data_type: string, description: What there is to say.}", *map(declaration, NAMES)]
            ),
        ),
    ):
        assert before in text
        text = text.replace(before, after)
    yaml.write_text(text)
    page = PAGE.read_text().partition("## When the table changes")[2].partition("## Keep its history")[0]
    for place, language, block in STEP.findall(page):
        added.follow(place, language, block)
    return Changed(drift, first_with_note, quarantined, told, added.stack.rows(QUARANTINED))


def test_drift_is_named_with_its_first_message(changed: Changed) -> None:
    assert {(row["field_name"], row["kind"]) for row in changed.drift} == {
        ("note", "unknown"),
        ("issued_in", "unknown"),
        ("country", "missing"),
        ("distance_km", "missing"),
        ("told_nobody", "unknown"),
        *((field, "unknown") for field in NAMES.values()),
    }
    (note,) = (row for row in changed.drift if row["field_name"] == "note")
    assert (note["_cdc_partition"], note["_cdc_offset"]) == (0, changed.first_with_note)
    assert re.search(rf"WARN {len(changed.drift)} every_field_is_declared", changed.told), changed.told


def test_each_spoiled_message_is_in_quarantine_with_its_reason(changed: Changed) -> None:
    found = [(row["reason"], row["message_value"]) for row in changed.quarantined]
    expected = [(reason, value.decode(errors="replace")) for _, value, reason in POISON]
    too_large = ["pin_attempts can't be read as smallint", "daily_limit can't be read as decimal(10, 2)"]
    assert [reason for reason, _ in found[:2]] == too_large
    assert found[2:] == expected
    assert {row["topic"] for row in changed.quarantined} == {"bank.public.cards"}


def test_every_message_is_accounted_for(changed: Changed) -> None:
    assert re.search(r"PASS every_bronze_message_is_accounted_for", changed.told), changed.told


CHANGED = COLUMNS.replace("country", "issued_in").replace("distance_km", "note") + "".join(
    f""", "{field}" as "{name}\"""" for name, field in NAMES.items()
)


def test_after_the_models_changed_too_everything_is_there(added: Added, changed: Changed) -> None:
    expected = added.expected(CHANGED)
    assert len(expected) == 4
    assert not difference(expected, added.actual(list(expected[0])))
    # What Bronze held of the new column all along.
    notes = added.stack.rows(
        "select note from silver.base_bank__card_changes where card_id = 1 and _cdc_op = 'u' and _cdc_error is null"
    )
    assert {row["note"] for row in notes} == {"a note"}
    assert [row["reason"] for row in changed.quarantined_afterwards] == [reason for _, _, reason in POISON]


def test_a_run_with_a_spoiled_message_alone_goes_on(added: Added, changed: Changed) -> None:
    # There is news, but no change to look for keys and places in the log of.
    key, value, reason = POISON[0]
    added.stack.send("bank.public.cards", [(key, value)])
    added.land()
    added.dbt("run", "--select", "base_bank__card_changes+")
    assert [row["reason"] for row in added.stack.rows(QUARANTINED)] == [*(told for _, _, told in POISON), reason]


def test_columns_with_odd_names_go_on_and_are_compared(added: Added, changed: Changed) -> None:
    # Emptied, filled again, and a key changed: all that the current state is put together of.
    added.play("cards_later.psql")
    added.land()
    added.dbt("run", "--select", "base_bank__card_changes+")
    expected = added.expected(CHANGED)
    assert len(expected) == 3
    assert not difference(expected, added.actual(list(expected[0])))

    added.stack.spark.sql(
        "update silver.stg_bank__cards set bank_is_deleted = false, _version = 0, `holder's name` = ''"
        " where card_id = 4"
    )
    result = added.stack.run("reconcile", folder=added.folder)
    assert result.returncode == 1, result.stdout + result.stderr
    # Below the table's name, its head and a line: the key, what is wrong, and a column in each line.
    details = re.search(r"^silver\.stg_bank__cards *\n.*?─ *\n(.*?)\n *\n", result.stdout, re.MULTILINE | re.DOTALL)
    assert details, result.stdout
    lines = [re.sub(r"^ *(4 +different +)?", "", line) for line in details[1].splitlines()]
    assert sorted(line.partition(": ")[0].strip() for line in lines) == ["_version", "bank_is_deleted", "holder's name"]
    assert "silver.stg_bank__cards: not declared, so not in Silver: told_nobody" in result.stdout


LABELS = "{name: labels, data_type: array<string>, "


def test_a_name_of_silvers_own_is_refused_when_dbt_parses(added: Added, changed: Changed) -> None:
    mended = "{name: bank_is_deleted, config: {meta: {field: is_deleted}}}"
    with added.declared(LABELS, "{name: is_deleted, data_type: array<string>, "):
        said = added.refused("parse")
    assert "base_bank__card_changes: is_deleted is a name of Silver's own. Declare the column by another name," in said
    assert mended in said
    assert "Traceback" not in said


def test_a_name_with_a_backtick_is_refused_when_dbt_parses(added: Added, changed: Changed) -> None:
    with added.declared(LABELS, '{name: "la`bels", data_type: array<string>, '):
        said = added.refused("parse")
    assert "base_bank__card_changes: la`bels has a backtick, which dbt does not quote. Declare the column by" in said
    assert "{name: bank_labels, config: {meta: {field: la`bels}}}" in said


def test_a_table_is_not_built_anew_of_less_than_it_was_made_of(added: Added, changed: Changed) -> None:
    bronze, silver = "bronze.cards", "silver.base_bank__card_changes"
    version, rows = (
        added.stack.rows(f"describe history {bronze} limit 1")[0]["version"],
        f"select count(*) from {silver}",
    )
    before = added.stack.value(rows)
    added.stack.spark.sql(f"delete from {bronze} where offset = 0")
    with added.declared(LABELS, "{name: words, config: {meta: {field: labels}}, data_type: array<string>, "):
        said = added.refused("run", "--select", "base_bank__card_changes+")
    added.stack.spark.sql(f"restore table {bronze} to version as of {version}")
    assert "bronze.cards no longer holds all messages that it was made of" in said.replace("\n", " ")
    assert "dbt build --full-refresh --select base_bank__card_changes+" in said
    assert added.stack.value(rows) == before


def test_its_first_run_is_counted(added: Added) -> None:
    """Also where the view of all runs was written before the table of the base model was created."""
    added.stack.spark.sql("drop table silver.base_bank__card_changes")
    added.dbt("run", "--select", "pipeline_runs", "base_bank__card_changes+")
    messages = added.stack.value("select count(*) from bronze.cards where value is not null")
    query = "select coalesce(sum(change_count), 0) from gold.pipeline_runs where bronze_table = 'cards'"
    assert 0 < added.stack.value(query) <= messages


def test_its_history_is_kept_by_two_files(added: Added) -> None:
    before = added.stack.rows("select * except (_run_number, _loaded_at) from silver.stg_bank__cards order by card_id")
    for place, language, block in STEP.findall(PAGE.read_text().partition("## Keep its history")[2]):
        added.follow(place, language, block)
    after = added.stack.rows("select * except (_run_number, _loaded_at) from silver.stg_bank__cards order by card_id")
    assert not difference(before, after)
    versions = added.stack.value("select count(*) from silver.cards_history")
    changes = added.stack.value("select count(*) from silver.base_bank__card_changes where _cdc_error is null")
    assert len(after) < versions <= changes
    reconciled = added.stack.run("reconcile", folder=added.folder)
    assert re.search(r" silver.stg_bank__cards +public.cards ", reconciled.stdout), reconciled.stdout
