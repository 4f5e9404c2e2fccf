"""A table, or some of its rows, again from the bank, all the way to Silver: the command behind `make resnapshot`.

Debezium reads the rows that there are. Rows that the bank lost without a message (a detached partition, a restored
backup) stay in Silver by that: their keys are found by comparing, and a delete of each on the table's own topic ends it
(docs/decisions/0020).
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from rich.console import Console

import ingestion
import source
from reconcile import canonical
from reconcile.check import Comparison, Key, Side, surplus
from reconcile.errors import ReconcileError
from reconcile.project import PROJECT, Entity, read_project
from reconcile.stores import Bank, Lake
from source.resnapshot import (
    Capture,
    CapturedTable,
    Signal,
    captured_table,
    check_condition,
    key_conditions,
    quoted,
    read_keys,
    running_capture,
    send_signal,
)

_POLL_S = 0.3


@dataclass(frozen=True)
class Wish:
    """What to read again: of a table all rows, some by their keys (as Postgres writes them), or by a condition."""

    table: CapturedTable
    keys: tuple[str, ...] = ()
    condition: str | None = None

    @property
    def conditions(self) -> list[str | None]:
        """One for each signal; None is the whole table."""
        if self.keys:
            return list(key_conditions(self.table.key, [(key,) for key in self.keys]))
        return [self.condition]


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        read: rows that Debezium read.
        ended: rows of Silver that the bank no longer had.
        unreadable: changes that came to Silver's quarantine meanwhile.
        has_models: whether dbt's project has models of the table.
    """

    table: CapturedTable
    read: int
    ended: int
    unreadable: int
    has_models: bool


def wish(connection: psycopg.Connection, capture: Capture, text: str, keys: str | None, condition: str | None) -> Wish:
    """What the words of a command ask for, if it can be done; nothing has happened yet.

    Raises:
        SourceError: the table, a key or the condition can't be read again.
    """
    table = captured_table(connection, capture, text)
    if keys is not None and condition is not None:
        raise source.SourceError("Say which rows by KEYS or by WHERE, not by both.")
    if condition is not None:
        check_condition(connection, table, condition)
    return Wish(table, tuple(read_keys(connection, table, keys)) if keys is not None else (), condition)


class Resnapshot:
    """The way of some tables from the bank to Silver, once more.

    Args:
        database_url: the bank, as the owner of its tables.
        connection: to the same.
        capture: the connector.
        lake: Spark.
        config: how Kafka is reached, and where Bronze is.
        entities: what dbt's project has of the bank's tables.
        bring: called to land what is on the topics and to build some entities.
        timeout: seconds without a word from the connector after which it is given up.
    """

    def __init__(
        self,
        database_url: str,
        connection: psycopg.Connection,
        capture: Capture,
        lake: Lake,
        config: ingestion.Config,
        *,
        entities: Sequence[Entity],
        bring: Callable[[list[Entity]], None],
        timeout: float = 120,
    ) -> None:
        self.database_url = database_url
        self.connection = connection
        self.capture = capture
        self.lake = lake
        self.config = config
        self.entities = entities
        self.bring = bring
        self.timeout = timeout
        # Where the role sees a part of a table only, its other rows would be taken for gone: Postgres then refuses.
        connection.execute("set row_security = off")
        connection.commit()

    def run(self, wishes: Sequence[Wish]) -> list[Outcome]:
        """Read again, wait until Silver has it, and end what the bank no longer has.

        Raises:
            SourceError: the connector fails, or says nothing for too long.
            ReconcileError: a key is nowhere, Spark refuses a query, or what `bring` runs fails.
        """
        entities = {one.table: self._entity(one.table) for one in wishes}
        for one in wishes:
            self._refuse_unknown_keys(one, entities[one.table])
        before = {table: self._newest(entity) for table, entity in entities.items() if entity}
        read = {one.table: sum(self._snapshot(one.table, condition) for condition in one.conditions) for one in wishes}
        absent: dict[CapturedTable, list[Key]] = {}
        with self.connection.transaction():
            # One moment of the bank, which Silver has passed when it is compared: a row that was deleted in the
            # ordinary way since is in the bank yet.
            self.connection.execute("set transaction isolation level repeatable read, read only")
            self.connection.execute("select pg_current_wal_insert_lsn()")
            self._bring([entity for entity in entities.values() if entity])
            for one in wishes:
                entity = entities[one.table]
                if entity is not None and one.condition is None:
                    absent[one.table] = [key for keys in surplus(self._comparison(one, entity)) for key in keys]
        ended = {table: self._end(table, entities[table], keys) for table, keys in absent.items()}
        if any(ended.values()):
            self._bring([entity for table, entity in entities.items() if entity and ended.get(table)])
        return [
            Outcome(
                one.table,
                read[one.table],
                ended.get(one.table, 0),
                self._unreadable(entities[one.table], before.get(one.table)),
                entities[one.table] is not None,
            )
            for one in wishes
        ]

    def _entity(self, table: CapturedTable) -> Entity | None:
        """Silver's table, found by the Bronze table that the topic lands in."""
        bronze = _last_part(self.config.table_of(table.topic(self.capture)))
        return next((entity for entity in self.entities if _last_part(entity.bronze) == bronze), None)

    def _bring(self, entities: list[Entity]) -> None:
        source.wait_until_captured(self.database_url, slot=self.capture.slot)
        self.bring(entities)

    # Debezium

    def _snapshot(self, table: CapturedTable, condition: str | None) -> int:
        """Send a signal, wait until the connector has read the rows, and return how many."""
        since = max((offset for offset, _ in self._notifications()), default=-1)
        signal = send_signal(self.connection, table, condition)
        heard: list[dict[str, Any]] = []
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            told = [note for offset, note in self._notifications() if offset > since and self._concerns(note, signal)]
            if len(told) > len(heard):
                heard, deadline = told, time.monotonic() + self.timeout
            kinds = {note["type"] for note in heard}
            if "COMPLETED" in kinds:
                return self._rows_read(table, heard)
            if kinds & {"ABORTED", "SKIPPED"}:
                raise source.SourceError(f"The connector {self.capture.name} broke off the snapshot of {table.shown}.")
            time.sleep(_POLL_S)
        how_far = "has not ended" if heard else "has not begun"
        raise source.SourceError(
            f"The snapshot of {table.shown} {how_far} within {self.timeout:.0f} seconds. An earlier one may hold it up:"
            f" restart the connector {self.capture.name} and run this again (docs/runbook.md, A new snapshot)."
        )

    def _concerns(self, note: dict[str, Any], signal: Signal) -> bool:
        """Whether a notification is about a signal. Every connector of a signal table hears of each."""
        if note.get("additional_data", {}).get("connector_name") != self.capture.prefix:
            return False
        if signal.is_blocking:
            return bool(note["aggregate_type"] == "Initial Snapshot")
        return bool(note["id"] == signal.id)

    def _rows_read(self, table: CapturedTable, heard: Sequence[dict[str, Any]]) -> int:
        scans = [note["additional_data"] for note in heard if note["type"] == "TABLE_SCAN_COMPLETED"]
        failed = [scan["status"] for scan in scans if scan["status"] not in ("SUCCEEDED", "EMPTY")]
        if failed or not scans:
            raise source.SourceError(
                f"The connector {self.capture.name} could not read {table.shown}"
                f" ({', '.join(failed) or 'it does not know the table'}). Look at Connect's log: make logs"
            )
        return sum(int(scan["total_rows_scanned"]) for scan in scans)

    def _notifications(self) -> list[tuple[int, dict[str, Any]]]:
        """What connectors told so far, each with its offset; nothing while the topic isn't there."""
        options = {**self.config.reader_options(), "failOnDataLoss": "false", "includeHeaders": "false"}
        try:
            rows = (
                self.lake.spark.read.format("kafka")
                .options(**options)
                .option("subscribe", self.capture.notifications)
                .load()
                .select("offset", F.col("value").cast("string"))
                .collect()
            )
        except PySparkException as error:
            if "UnknownTopicOrPartition" in str(error):
                return []
            raise
        notes = [(offset, json.loads(value)) for offset, value in rows if value is not None]
        # A message may bring its schema (JsonConverter's schemas.enable).
        return sorted(((offset, note.get("payload", note)) for offset, note in notes), key=lambda one: one[0])

    # Silver

    def _comparison(self, one: Wish, entity: Entity) -> Comparison:
        """The keys of the rows that are asked for, in the bank and in Silver."""
        columns = {column.name: column for column in entity.columns}
        key = tuple(columns[name] for name in entity.key)
        bank = tuple(_bank_text(one.table, column.field, column.data_type) for column in key)
        lake = tuple(canonical.spark_text(Lake.quoted(column.name), column.data_type) or "" for column in key)
        rows, silver = one.table.quoted, f"(select * from {entity.silver} where not is_deleted)"
        if one.keys:
            asked = ", ".join(map(self.lake.literal, self._canonical(one)))
            silver = f"(select * from {entity.silver} where not is_deleted and {lake[0]} in ({asked}))"
            conditions = key_conditions(one.table.key, [(name,) for name in one.keys])
            rows = f"(select * from {rows} where {' or '.join(conditions)})"
        return Comparison(
            table=entity.silver,
            against=one.table.shown,
            columns=key,
            keys=len(key),
            bank=Side(Bank(self.connection), rows.replace("%", "%%"), bank),
            lake=Side(self.lake, silver, lake),
        )

    def _canonical(self, one: Wish) -> list[str]:
        """The keys asked for as `canonical` writes them."""
        (name,) = one.table.key
        entity = self._entity(one.table)
        declared = [column for column in entity.columns if column.field == name] if entity else []
        text = _bank_text(one.table, name, declared[0].data_type) if declared else f"{Bank.quoted(name)}::text"
        (data_type,) = self.connection.execute(
            "select format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = (select pg_class.oid from pg_class join pg_namespace on pg_namespace.oid = relnamespace"
            " where nspname = %s and relname = %s) and attname = %s",
            [one.table.schema, one.table.name, name],
        ).fetchone() or ("text",)
        query = f"select {text} from (select unnest(%s::text[])::{data_type} as {Bank.quoted(name)}) as asked"
        return [row[0] for row in self.connection.execute(query.encode(), [list(one.keys)])]

    def _refuse_unknown_keys(self, one: Wish, entity: Entity | None) -> None:
        """A key that neither the bank nor Silver has is a slip of the pen."""
        if not one.keys:
            return
        (name,) = one.table.key
        query = f"select {quoted(name)}::text from {one.table.quoted} where "
        conditions = key_conditions(one.table.key, [(key,) for key in one.keys])
        known = {
            row[0]
            for condition in conditions
            for row in self.connection.execute((query + condition).encode()).fetchall()
        }
        self.connection.commit()
        if entity is not None and known != set(one.keys):
            gone = {key[0] for keys in surplus(self._comparison(one, entity)) for key in keys}
            self.connection.commit()
            known |= {key for key, text in zip(one.keys, self._canonical(one), strict=True) if text in gone}
        if unknown := [key for key in one.keys if key not in known]:
            raise ReconcileError(f"Neither {one.table.shown} nor Silver has a row with {name} {', '.join(unknown)}.")

    def _end(self, table: CapturedTable, entity: Entity | None, keys: list[Key]) -> int:
        """End those of Silver's rows that the bank still hasn't, and return how many those were."""
        if entity is None or not keys:
            return 0
        # The place in the log is read first: what comes after it isn't older than the deletes.
        lsn, at = self.connection.execute(
            "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, clock_timestamp()"
        ).fetchone() or (0, datetime.now(UTC))
        present = self._present(table, entity, keys)
        absent = [key for key in keys if key not in present]
        self._send_deletes(table, entity, absent, lsn, at)
        # Who came back meanwhile may stand on the topic before their delete.
        fields = [column.field for column in _key_columns(entity)]
        for condition in key_conditions(fields, list(self._present(table, entity, absent).values())):
            self._snapshot(table, condition)
        return len(absent)

    def _present(self, table: CapturedTable, entity: Entity, keys: Sequence[Key]) -> dict[Key, tuple[str, ...]]:
        """Those of some keys that the bank has now, and how Postgres writes them."""
        columns = _key_columns(entity)
        texts = [_bank_text(table, column.field, column.data_type) for column in columns]
        names = [f"{Bank.quoted(column.field)}::text" for column in columns]
        query = (
            f"select {', '.join(texts + names)} from {table.quoted.replace('%', '%%')}"
            f" where concat({', '.join(map(canonical.framed, texts))}) = any(%s)"
        )
        asked = ["".join(f"{len(text or '')}:{text}" for text in key) for key in keys]
        rows = self.connection.execute(query.encode(), [asked]).fetchall()
        self.connection.commit()
        return {tuple(row[: len(columns)]): tuple(row[len(columns) :]) for row in rows}

    def _send_deletes(self, table: CapturedTable, entity: Entity, keys: Sequence[Key], lsn: int, at: datetime) -> None:
        """Put a delete of each key on its topic, with the key's own bytes, by which Kafka finds the row's partition."""
        spark = self.lake.spark
        names = [f"c{place}" for place in range(len(entity.key))]
        schema = ", ".join(f"{name} string" for name in names)
        spark.createDataFrame([tuple(key) for key in keys], schema).createOrReplaceTempView("ended_keys")
        texts = (canonical.spark_text(f"silver.{Lake.quoted(one.name)}", one.data_type) for one in _key_columns(entity))
        same_key = " and ".join(f"{text} = ended_keys.{name}" for text, name in zip(texts, names, strict=True))
        micros = round(at.timestamp() * 1_000_000)
        origin = {"connector": "postgresql", "name": self.capture.prefix, "schema": table.schema, "table": table.name}
        place = {"lsn": lsn, "sequence": json.dumps([str(lsn), str(lsn)]), "ts_ms": micros // 1000, "ts_us": micros}
        value = json.dumps({"op": "d", "source": {**origin, **place}, "ts_ms": micros // 1000})
        deletes = spark.sql(
            f"""
            select distinct
                bronze.topic,
                bronze.key,
                cast({self.lake.literal(value)} as binary) as value,
                array(named_struct('key', 'resnapshot', 'value', cast('absent' as binary))) as headers
            from {entity.silver} as silver
            inner join ended_keys on {same_key}
            inner join {entity.bronze} as bronze
                on
                    bronze.partition = silver._cdc_partition
                    and bronze.offset = silver._cdc_offset
                    and coalesce(bronze.topic_life, 1) = silver._cdc_topic_life
            where not silver.is_deleted
            """
        )
        options = {name: text for name, text in self.config.reader_options().items() if "." in name}
        deletes.write.format("kafka").options(**options).option("includeHeaders", "true").save()

    def _newest(self, entity: Entity) -> int:
        """The number of the last run of dbt that decoded a change."""
        if not self.lake.spark.catalog.tableExists(entity.changes):
            return 0
        ((newest,),) = self.lake.rows(f"select max(_run_number) from {entity.changes}")
        return newest or 0

    def _unreadable(self, entity: Entity | None, since: int | None) -> int:
        """How many changes came to quarantine since then."""
        if entity is None:
            return 0
        ((count,),) = self.lake.rows(
            f"select count(*) from {entity.changes} where _cdc_error is not null and _run_number > {since or 0}"
        )
        return int(count)


def _last_part(relation: str) -> str:
    return relation.replace("`", "").split(".")[-1]


def _key_columns(entity: Entity) -> list[Any]:
    return [column for name in entity.key for column in entity.columns if column.name == name]


def _bank_text(table: CapturedTable, field: str, data_type: str) -> str:
    """SQL on Postgres, percent signs doubled, for a key's text; it must be of a type that has one."""
    text = canonical.postgres_text(Bank.quoted(field), data_type, table.types.get(field, ""))
    if text is None:
        raise ReconcileError(
            f"Rows of {table.shown} can't be told apart by {field}, which Postgres writes differently."
        )
    return text


def read_again(tables: Sequence[str], *, keys: str | None, where: str | None, timeout: float) -> int:
    """The command `python -m reconcile resnapshot`: look at everything, then read again, build, and report.

    Returns:
        The exit code: 1 where changes came to quarantine.

    Raises:
        SourceError, ReconcileError, IngestionError: one line on what can't be done.
    """
    names = dict.fromkeys(name for text in tables for name in csv_words(text))
    if len(names) > 1 and (keys is not None or where is not None):
        raise source.SourceError("KEYS and WHERE speak of one table: name one.")
    database_url, connect_url = _environment("DATABASE_URL"), _environment("CONNECT_URL")
    console = Console(soft_wrap=True, highlight=False)
    with source.connect(database_url) as connection:
        capture = running_capture(connection, connect_url)
        wishes = [wish(connection, capture, name, keys, where) for name in names or [""]]
        connection.commit()
        if os.environ.get("DBT_TARGET", "local") == "local":
            ingestion.require_spark()
        config = ingestion.Config.from_environment(os.environ)
        with console.status("Reading again, landing, building"):
            work = Resnapshot(
                database_url,
                connection,
                capture,
                Lake(ingestion.spark_session()),
                config,
                entities=read_project().entities,
                bring=_land_and_build,
                timeout=timeout,
            )
            outcomes = work.run(wishes)
    for outcome in outcomes:
        console.print(told(outcome), markup=False)
    if where is not None:
        console.print("A condition finds no row that the bank lost: leave WHERE out to end those.", markup=False)
    return int(any(outcome.unreadable for outcome in outcomes))


def told(outcome: Outcome) -> str:
    """One line on what came of it."""
    line = f"{outcome.table.shown}: {outcome.read:,} rows read again"
    if not outcome.has_models:
        return f"{line}, and landed. dbt's project has no model of it yet: docs/adding-a-table.md"
    line += f", {outcome.ended:,} ended that the bank no longer has" if outcome.ended else ""
    if outcome.unreadable:
        return f"{line}; {outcome.unreadable:,} changes can't be read: see quarantined_messages, and docs/runbook.md"
    return f"{line}. Silver has them."


def csv_words(text: str) -> list[str]:
    """Words with commas between them; one with a comma of its own stands in double quotes."""
    return [word.strip() for word in next(csv.reader([text], skipinitialspace=True), []) if word.strip()]


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise source.SourceError(f"{name} is not set. For the local stack run: make up; elsewhere set it.")
    return value


def _land_and_build(entities: list[Entity]) -> None:
    """Ingestion, and dbt for what reads the tables, each as a user runs it."""
    _run("Ingestion", "-m", "ingestion")
    if entities:
        bases = [f"{_last_part(entity.changes)}+" for entity in entities]
        _run("dbt", "-m", "dbt.cli.main", "--quiet", "run", "--select", *bases)


def _run(what: str, *words: str) -> None:
    result = subprocess.run([sys.executable, *words], cwd=PROJECT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        raise ReconcileError(f"{what} failed: {said[-1] if said else 'it says nothing'}")
