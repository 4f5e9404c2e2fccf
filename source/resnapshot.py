"""A table, or some of its rows, again from the bank by Debezium's snapshot signal: the bank's half.

A signal that the connector can't work with stops all later snapshots, or the connector itself, and it comes again with
each restart (docs/decisions/0020). So everything is looked at before a signal is sent.
"""

from __future__ import annotations

import csv
import json
import re
import urllib.parse
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
import requests
from psycopg import sql

from source.connector import _call, _file, _states
from source.errors import SourceError, one_line

# A signal's data must fit Debezium's column, varchar(2048); the rest is for the names of the table.
_FILTER_LENGTH = 1500

# Debezium takes a table's name in a signal for a regular expression and parses its quotes. These letters were tried.
_SAFE_NAME = re.compile(r"[\w .%`-]+")

_WHAT = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "i": "an index"}


@dataclass(frozen=True)
class Capture:
    """A connector that runs, as far as snapshots concern it.

    Attributes:
        name: in Kafka Connect.
        prefix: what its topics' names begin with, and what it calls itself in its notifications.
        publication: in Postgres.
        slot: its replication slot.
        tables: its `table.include.list`, regular expressions.
        notifications: the topic on which it tells of its snapshots.
    """

    name: str
    prefix: str
    publication: str
    slot: str
    tables: tuple[str, ...]
    notifications: str


@dataclass(frozen=True)
class CapturedTable:
    """A table of the bank that can be read again.

    Attributes:
        schema: in Postgres.
        name: in Postgres.
        key: the primary key's columns.
        types: of all columns, as in pg_type; `enum` for any enum.
        is_generated: whether a column is computed from others.
    """

    schema: str
    name: str
    key: tuple[str, ...]
    types: dict[str, str] = field(compare=False)
    is_generated: bool

    @property
    def shown(self) -> str:
        """The name as a message shows it."""
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        """The name as Postgres and Debezium's signals write it."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def topic(self, capture: Capture) -> str:
        """The table's topic: what Kafka takes in no name is `_` (Debezium's AbstractTopicNamingStrategy)."""
        return re.sub(r"[^A-Za-z0-9._-]", "_", f"{capture.prefix}.{self.shown}")


@dataclass(frozen=True)
class Signal:
    """A signal that was sent. A blocking snapshot's notifications don't bear its id."""

    id: str
    is_blocking: bool


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def running_capture(connection: psycopg.Connection, connect_url: str, name: str | None = None) -> Capture:
    """The connector, if it takes signals now.

    Args:
        connection: to the bank.
        connect_url: Kafka Connect's REST address.
        name: the connector's; that of `source/debezium.json` when left out.

    Raises:
        SourceError: it isn't there, doesn't run, doesn't read the log, or its settings leave out what a signal needs.
    """
    name = name or _file()["name"]
    url = f"{connect_url.rstrip('/')}/connectors/{urllib.parse.quote(str(name), safe='')}"
    known = _call("GET", f"{url}/config")
    if known.status_code == requests.codes.not_found:
        raise SourceError(f"There is no connector {name}. Register it with: make up")
    config: dict[str, str] = known.json()
    states = _states(url)
    if states != {"RUNNING"}:
        raise SourceError(f"The connector {name} does not run ({', '.join(sorted(states))}). Start it with: make up")
    needed = ("signal.data.collection", "notification.sink.topic.name", "publication.name", "slot.name", "topic.prefix")
    missing = [setting for setting in needed if not config.get(setting)]
    if "sink" not in config.get("notification.enabled.channels", ""):
        missing.append("notification.enabled.channels=sink")
    if missing:
        raise SourceError(f"The connector {name} lacks settings: {', '.join(missing)}. Register it again: make up")
    slot = connection.execute(
        "select active from pg_replication_slots where slot_name = %s", [config["slot.name"]]
    ).fetchone()
    if slot is None or not slot[0]:
        raise SourceError(
            f"The connector {name} does not read the bank's log: nobody uses the replication slot"
            f" {config['slot.name']}. Look at Connect's log: make logs"
        )
    publication = config["publication.name"]
    signal = tuple(part.strip('"') for part in config["signal.data.collection"].split("."))
    if signal not in _published(connection, publication):
        raise SourceError(f"The publication {publication} lacks the signal table. Put it there with: make up")
    return Capture(
        name=str(name),
        prefix=config["topic.prefix"],
        publication=publication,
        slot=config["slot.name"],
        tables=tuple(part.strip() for part in config.get("table.include.list", "").split(",") if part.strip()),
        notifications=config["notification.sink.topic.name"],
    )


def captured_table(connection: psycopg.Connection, capture: Capture, text: str) -> CapturedTable:
    """The table that a text names, if the connector can read it again.

    Args:
        connection: to the bank.
        capture: the connector.
        text: a table of `public`, or `schema.table`, as Postgres has the names; quotes may be left out.

    Raises:
        SourceError: there is no such table, it isn't captured, or its snapshot would fail.
    """
    if not text:
        raise SourceError("Say which table to read again, such as: make resnapshot TABLE=transactions")
    oid, schema, name, kind, persistence, is_partition = _found(connection, text)
    shown = f"{schema}.{name}"
    if kind not in "rp":
        raise SourceError(f"{shown} is {_WHAT.get(kind, 'no table')}, and Debezium captures tables only.")
    if is_partition:
        (root,) = connection.execute("select pg_partition_root(%s)::regclass::text", [oid]).fetchone() or ("?",)
        raise SourceError(f"{shown} is a partition of {root}, which is captured as a whole. Name {root}.")
    if persistence == "u":
        raise SourceError(f"{shown} is unlogged: Postgres writes no log of it to capture.")
    if not all(_SAFE_NAME.fullmatch(part) for part in (schema, name)):
        raise SourceError(
            f"{shown} can't be named in a signal: Debezium takes the name for a regular expression."
            " Its rows are read again by a new connector only (docs/runbook.md, A new snapshot)."
        )
    if (schema, name) not in _published(connection, capture.publication) or not _is_included(capture, shown):
        raise SourceError(
            f"{shown} is not captured: it is not in the publication {capture.publication}, or the connector"
            f" {capture.name} does not list it. docs/adding-a-table.md says how to add a table."
        )
    reader = _reader(connection, capture)
    if reader is not None:
        allowed = connection.execute("select has_table_privilege(%s, %s::oid, 'select')", [reader, oid]).fetchone()
        if allowed is None or not allowed[0]:
            grant = f"grant select on {quoted(schema)}.{quoted(name)} to {quoted(reader)}"
            raise SourceError(f"{reader} may not read {shown}. In the bank: {grant}")
    key = [
        column
        for (column,) in connection.execute(
            "select attname from pg_index cross join unnest(indkey) with ordinality as part (number, place)"
            " join pg_attribute on attrelid = indrelid and attnum = number"
            " where indrelid = %s and indisprimary order by place",
            [oid],
        )
    ]
    if not key:
        raise SourceError(f"{shown} has no primary key: neither Debezium's chunks nor Silver's rows can be told apart.")
    columns = connection.execute(
        "select attname, attgenerated <> '',"
        " case when 'e' in (own.typtype, base.typtype) then 'enum' else coalesce(base.typname, own.typname) end"
        " from pg_attribute join pg_type as own on own.oid = atttypid"
        " left join pg_type as base on base.oid = own.typbasetype"
        " where attrelid = %s and attnum > 0 and not attisdropped",
        [oid],
    ).fetchall()
    return CapturedTable(
        schema=schema,
        name=name,
        key=tuple(key),
        types={column: data_type for column, _, data_type in columns},
        is_generated=any(is_generated for _, is_generated, _ in columns),
    )


def _found(connection: psycopg.Connection, text: str) -> tuple[int, str, str, str, str, bool]:
    """What Postgres knows of the relation that a text names."""
    plain = text.replace('"', "") if '"' in text else text
    dots = [place for place, letter in enumerate(plain) if letter == "."]
    names = [("public", text), ("public", plain), *((plain[:dot], plain[dot + 1 :]) for dot in dots)]
    for schema, name in names:
        row = connection.execute(
            "select pg_class.oid, nspname, relname, relkind, relpersistence, relispartition"
            " from pg_class join pg_namespace on pg_namespace.oid = relnamespace where nspname = %s and relname = %s",
            [schema, name],
        ).fetchone()
        if row is not None:
            oid, found_schema, found_name, kind, persistence, is_partition = row
            return oid, found_schema, found_name, kind, persistence, is_partition
    raise SourceError(f"The bank has no table {text}. Name a table of public, or schema.table, as Postgres writes it.")


def _published(connection: psycopg.Connection, publication: str) -> set[tuple[str, ...]]:
    rows = connection.execute(
        "select schemaname, tablename from pg_publication_tables where pubname = %s", [publication]
    )
    return {(schema, table) for schema, table in rows}


def _is_included(capture: Capture, shown: str) -> bool:
    """Whether the connector's list names the table: regular expressions of Java's."""
    if not capture.tables:
        return True
    patterns = (
        re.sub(r"\\Q(.*?)\\E", lambda literal: re.escape(literal[1]), pattern).replace('"', "")
        for pattern in capture.tables
    )
    try:
        return any(re.fullmatch(pattern, shown, flags=re.IGNORECASE) for pattern in patterns)
    except re.error:
        return True


def _reader(connection: psycopg.Connection, capture: Capture) -> str | None:
    """The role that the connector reads the bank with; None while it connects again."""
    row = connection.execute(
        "select usename from pg_replication_slots join pg_stat_activity on pid = active_pid where slot_name = %s",
        [capture.slot],
    ).fetchone()
    return str(row[0]) if row is not None and row[0] else None


def read_keys(connection: psycopg.Connection, table: CapturedTable, text: str) -> list[str]:
    """The keys that a text names, as Postgres writes them, in the order of the text.

    Args:
        connection: to the bank.
        table: its key must be one column.
        text: keys with commas between them; one that has a comma itself in double quotes, as in CSV.

    Raises:
        SourceError: the key has several columns, or a word is no value of the key's type.
    """
    if len(table.key) > 1:
        raise SourceError(
            f"The key of {table.shown} is {len(table.key)} columns ({', '.join(table.key)}): say which rows by WHERE."
        )
    try:
        words = [word for word in next(csv.reader([text], skipinitialspace=True, strict=True)) if word]
    except (csv.Error, StopIteration):
        words = []
    if not words:
        raise SourceError("Say which keys to read again, with commas between them, such as: KEYS=1,2,3")
    (column,) = table.key
    query = sql.SQL(
        "select key::text from unnest(%s::text[]) as words (word), lateral (select word::{} as key) as typed"
    ).format(_type_of(connection, table, column))
    try:
        with connection.transaction():
            return [key for (key,) in connection.execute(query, [words])]
    except psycopg.DataError as error:
        raise SourceError(f"KEYS names what is no {column} of {table.shown}: {one_line(error)}") from None


def _type_of(connection: psycopg.Connection, table: CapturedTable, column: str) -> sql.SQL:
    row = connection.execute(
        "select format_type(atttypid, atttypmod) from pg_attribute join pg_class on pg_class.oid = attrelid"
        " join pg_namespace on pg_namespace.oid = relnamespace"
        " where nspname = %s and relname = %s and attname = %s",
        [table.schema, table.name, column],
    ).fetchone()
    return sql.SQL(row[0] if row else "text")


def key_conditions(columns: Sequence[str], keys: Sequence[Sequence[str]]) -> Iterator[str]:
    """SQL conditions that name the rows of some keys, each short enough for a signal.

    Args:
        columns: the key's, as Postgres has them.
        keys: of each row a text for each column, as Postgres writes it.
    """
    names = ", ".join(map(quoted, columns))
    rows: list[str] = []
    for key in keys:
        literals = ", ".join("'" + text.replace("'", "''") + "'" for text in key)
        row = f"({literals})" if len(columns) > 1 else literals
        if rows and len(names) + len(", ".join([*rows, row])) > _FILTER_LENGTH:
            yield f"({names}) in ({', '.join(rows)})"
            rows = []
        rows.append(row)
    if rows:
        yield f"({names}) in ({', '.join(rows)})"


def check_condition(connection: psycopg.Connection, table: CapturedTable, condition: str) -> None:
    """Refuse a condition that the connector could fail on.

    It may use the table's columns, and Postgres's own functions and operators: what else there is, the connector's role
    may not be allowed to use. It is tried on every row.

    Raises:
        SourceError: Postgres refuses it, or it uses something else.
    """
    if len(condition) > _FILTER_LENGTH:
        raise SourceError(f"WHERE is longer than the {_FILTER_LENGTH:,} characters that a signal has room for.")
    if any(part in condition for part in ("?", "\n", "--", "/*")):
        # Debezium takes a question mark for a parameter, and puts more behind the condition, on the same line.
        raise SourceError("WHERE must be one line without a question mark and without a comment (-- or /*).")
    view = f"select_again_{uuid.uuid4().hex}"
    try:
        with connection.transaction(force_rollback=True):
            # As Debezium puts it into its own query.
            select = f"select {quoted(table.key[0])} from {table.quoted} where ({condition}) and (true)"
            connection.execute(f"create temporary view {view} as {select}".encode())
            connection.execute(f"select count(*) from {view}".encode())
            others = connection.execute(
                "select pg_describe_object(refclassid, refobjid, 0) from pg_depend"
                " where classid = 'pg_rewrite'::regclass"
                " and objid in (select oid from pg_rewrite where ev_class = %s::regclass)"
                " and refobjid <> %s::regclass and refobjid <> %s::regclass"
                " and refclassid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass)",
                [view, view, table.quoted],
            ).fetchall()
    except psycopg.Error as error:
        raise SourceError(f"Postgres refuses WHERE: {one_line(error)}") from None
    if others:
        named = ", ".join(sorted(name for (name,) in others))
        raise SourceError(f"WHERE may use columns of {table.shown} and Postgres's own functions only, not {named}.")


def send_signal(connection: psycopg.Connection, table: CapturedTable, condition: str | None = None) -> Signal:
    """Ask for a snapshot of a table, or of the rows that meet a condition; the transaction is committed.

    Incremental, beside the stream of changes. Debezium 3.7's incremental snapshot fails on a table with a generated
    column: that one's is blocking, and the stream waits while its rows are read. A signal names one table: where one of
    several fails, all later snapshots wait for it.
    """
    kind = "blocking" if table.is_generated else "incremental"
    data: dict[str, object] = {"data-collections": [table.quoted], "type": kind}
    if condition is not None:
        # Debezium takes a whole query for the "filter" of a blocking snapshot.
        text = f"select * from {table.quoted} where {condition}" if table.is_generated else condition
        data["additional-conditions"] = [{"data-collection": table.quoted, "filter": text}]
    signal = Signal(str(uuid.uuid4()), table.is_generated)
    connection.execute(
        "insert into debezium.signal (id, type, data) values (%s, 'execute-snapshot', %s)",
        [signal.id, json.dumps(data, ensure_ascii=False)],
    )
    connection.commit()
    return signal
