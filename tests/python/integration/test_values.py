"""Values as Debezium itself writes them, in its modes, decoded by the macros and compared with what Postgres says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatch
from hashlib import md5
from pathlib import Path
from typing import Any

import jinja2
import psycopg
import pytest
import requests
import yaml
from pipeline import PROJECT, Stack, wait_for
from psycopg import sql

import source

# Everything in it is text, also what YAML would take for a date or a number.
ENCODINGS = yaml.load(Path(__file__).with_name("encodings.yml").read_text(), yaml.BaseLoader)
COLUMNS: dict[str, tuple[str, str]] = ENCODINGS["columns"]
ROWS: dict[str, dict[str, str]] = ENCODINGS["rows"]
LARGE: dict[str, str] = ENCODINGS["large"]
MODES: dict[str, dict[str, Any]] = ENCODINGS["modes"]


Message = tuple[str, str | None]


@dataclass(frozen=True)
class Seen:
    """What there is to compare.

    Attributes:
        expected: what Postgres holds, by mode, row and column.
        messages: what Debezium wrote, by mode, in order: a message, and its header's word for a value left out.
    """

    expected: dict[str, dict[str, dict[str, Any]]]
    messages: dict[str, list[Message]]


@pytest.fixture(scope="module")
def seen(stack: Stack) -> Iterator[Seen]:
    """A table of every type, read by one connector per mode: half of its rows by a snapshot, half as changes."""
    try:
        with stack.connect() as connection:
            make_table(connection)
            insert(connection, "r")
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda mode: register(stack, mode), MODES))
            received(stack, len(ROWS) + 1)
            insert(connection, "c")
            connection.execute("update encodings.everything set small = 1 where label = 'large'")
            messages = received(stack, 2 * len(ROWS) + 2)
            yield Seen({mode: told_by_postgres(connection, mode) for mode in MODES}, messages)
    finally:
        clean_up(stack)


def make_table(connection: psycopg.Connection[Any]) -> None:
    columns = ", ".join(f"{name} {pg_type}" for name, (pg_type, _) in COLUMNS.items())
    for statement in (
        "create schema encodings",
        "create extension citext schema encodings",
        "create extension hstore schema encodings",
        "create type encodings.mood as enum ('sad', 'happy')",
        f"create table encodings.everything (label text primary key, {columns})",
        *(f"alter table encodings.everything alter {name} set storage external" for name in LARGE),
        "grant usage on schema encodings to debezium",
        "grant select on encodings.everything to debezium",
        "create publication encodings for table encodings.everything",
        f"insert into encodings.everything (label, {', '.join(LARGE)}) select 'large', {', '.join(LARGE.values())}",
    ):
        connection.execute(statement)  # type: ignore[arg-type]


def insert(connection: psycopg.Connection[Any], how: str) -> None:
    for label, row in ROWS.items():
        connection.execute(
            sql.SQL("insert into encodings.everything ({}) values ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, ["label", *row])),
                sql.SQL(", ").join(map(sql.Literal, [f"{how}-{label}", *row.values()])),
            )
        )


def connector_of(mode: str) -> str:
    return f"encodings-{mode}"


def register(stack: Stack, mode: str) -> None:
    name = connector_of(mode)
    source.register_connector(
        stack.environment["CONNECT_URL"],
        {
            "name": name,
            "topic.prefix": name,
            "slot.name": name.replace("-", "_"),
            "slot.drop.on.stop": "true",
            "publication.name": "encodings",
            "table.include.list": "encodings.everything",
            "heartbeat.interval.ms": "0",
            "provide.transaction.metadata": "false",
            **MODES[mode]["connector"],
        },
    )


def received(stack: Stack, count: int) -> dict[str, list[Message]]:
    """The messages of each mode, when there are so many."""
    topics = {f"{connector_of(mode)}.encodings.everything": mode for mode in MODES}
    reader = stack.spark.read.format("kafka").option("subscribe", ",".join(topics))
    reader = reader.option("kafka.bootstrap.servers", stack.environment["KAFKA_BOOTSTRAP_SERVERS"])
    word = (
        "cast(get(filter(headers, header -> header.key = 'unavailable.value.placeholder'), 0).value as string) as word"
    )

    def read() -> dict[str, list[Message]] | None:
        found: dict[str, list[Message]] = {mode: [] for mode in MODES}
        rows = reader.option("includeHeaders", "true").load().orderBy("offset")
        for row in rows.selectExpr("topic", "cast(value as string) as value", word).collect():
            found[topics[row["topic"]]].append((row["value"], row["word"]))
        return found if all(len(messages) == count for messages in found.values()) else None

    messages: dict[str, list[Message]] = wait_for(read, f"{count} messages of each connector")
    return messages


def clean_up(stack: Stack) -> None:
    """Take away what was made; with the slots left, Postgres would keep its log for them."""
    for mode in MODES:
        requests.delete(f"{stack.environment['CONNECT_URL']}/connectors/{connector_of(mode)}", timeout=30)
    with stack.connect() as connection:
        slots = r"select from pg_replication_slots where slot_name like 'encodings\_%'"
        wait_for(lambda: not connection.execute(slots).fetchall(), "the connectors take their slots along")
        connection.execute("drop publication if exists encodings")
        connection.execute("drop schema if exists encodings cascade")


def types_of(mode: str) -> dict[str, str]:
    """The type that a model declares for each column."""
    return {name: declared for name, (_, declared) in COLUMNS.items()} | MODES[mode].get("types", {})


def told_by_postgres(connection: psycopg.Connection[Any], mode: str) -> dict[str, dict[str, Any]]:
    types = types_of(mode)
    told = ", ".join(f"{in_postgres(pg, types[name], name)} as {name}" for name, (pg, _) in COLUMNS.items())
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        cursor.execute(f"select label, {told} from encodings.everything where label <> 'large'")  # type: ignore[arg-type]
        return {row.pop("label"): row for row in cursor.fetchall()}


def in_postgres(pg_type: str, declared: str, value: str) -> str:
    """SQL for Postgres: a value as text, or an array of texts, as `in_spark` gives it."""
    if declared.startswith("array<"):
        item = in_postgres(pg_type.removesuffix("[]"), declared[6:-1], "item")
        items = f"array(select {item} from unnest({value}) with ordinality as items (item, n) order by n)"
        return f"case when {value} is not null then {items} end"
    micros = f"trim_scale(extract(epoch from {value}) * 1000000)::text"
    clock = "rtrim(rtrim(to_char({}, 'HH24:MI:SS.US'), '0'), '.') || 'Z'"
    parts = [f"extract({part} from {value})::int" for part in ("year", "month", "day", "hour", "minute")]
    seconds = f"trim_scale(extract(second from {value}))"
    told = {
        ("bit(1)", "boolean"): f"({value} = B'1')::text",
        # Debezium's documentation, io.debezium.data.Bits: little-endian.
        ("bit(12)", "binary"): f"lpad(to_hex({value}::int & 255), 2, '0') || lpad(to_hex({value}::int >> 8), 2, '0')",
        ("boolean", "boolean"): f"{value}::text",
        ("bytea", "binary"): f"encode({value}, 'hex')",
        ("date", "date"): f"trim_scale(extract(epoch from {value}) / 86400)::text",
        ("encodings.hstore", "string"): f"encodings.hstore_to_json({value})::text",
        # Debezium's documentation, interval.handling.mode: a month has a twelfth of 365.25 days.
        ("interval", "bigint"): (
            f"trim_scale(1000000 * (extract(epoch from {value} - date_trunc('month', {value}))"
            f" + 2629800 * (12 * extract(year from {value}) + extract(month from {value}))))::text"
        ),
        ("interval", "string"): f"format('P%sY%sM%sDT%sH%sM%sS', {', '.join(parts)}, {seconds})",
        ("money", "decimal(19, 2)"): f"{value}::numeric::text",
        ("time", "string"): clock.format(value),
        ("time(0)", "string"): clock.format(value),
        ("timetz", "string"): clock.format(f"({value} at time zone 'UTC')::time"),
    }
    # Unlike a cast, format keeps the blanks at the end of a char(n).
    text = micros if declared.startswith("timestamp") else told.get((pg_type, declared), f"format('%s', {value})")
    return f"case when {value} is not null then {text} end"


def in_spark(declared: str, value: str) -> str:
    """SQL for Spark: a value as text, or an array of texts."""
    if declared.startswith("array<"):
        return f"transform({value}, item -> {in_spark(declared[6:-1], 'item')})"
    told = {
        "binary": "lower(hex({}))",
        "date": "cast(unix_date({}) as string)",
        "timestamp": "cast(unix_micros({}) as string)",
        "timestamp_ntz": "cast(unix_micros(cast({} as timestamp)) as string)",
    }
    return told.get(declared, "cast({} as string)").format(value)


def comparable(column: str, declared: str, told: Any) -> Any:
    """A value without the ways in which the engines write the same number or document."""
    if isinstance(told, list):
        return [comparable(column, declared[6:-1], item) for item in told]
    if told is None:
        return None
    if column == "pairs":
        return json.loads(told)
    reads: dict[str, Callable[[str], Any]] = {
        "deci": lambda text: str(Decimal(text).normalize()),
        "floa": lambda text: struct.pack("f", float(text)),
        "doub": lambda text: struct.pack("d", float(text)),
    }
    return reads.get(declared[:4], str)(told)


def macros(variables: Mapping[str, str]) -> Any:
    """The project's macros of values, under its variables."""
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    environment.globals.update(
        {
            "var": {**project["vars"], **variables}.__getitem__,
            "local_md5": lambda text: md5(text.encode()).hexdigest(),
            "return": lambda value: value,
        }
    )
    return environment.from_string((PROJECT / "macros/messages/values.sql").read_text()).module


def field_schemas(message: str) -> dict[str, dict[str, Any]]:
    """What a message's schema says of each column, of an array what it says of its items. Empty without a schema."""
    fields = json.loads(message).get("schema", {}).get("fields", [])
    return {
        column["field"]: column.get("items", column)
        for part in fields
        if part["field"] == "after"
        for column in part["fields"]
    }


def select(
    stack: Stack, seen: Seen, mode: str, expressions: Mapping[str, str], where: str
) -> dict[str, dict[str, Any]]:
    """Expressions over `raw`, `name` and `scale`, which are maps by column, and what else the macros ask of a message.

    Returns:
        The expressions' values, with the raw ones beside them, by row.
    """
    schemas = field_schemas(seen.messages[mode][0][0])
    names = {column: schema.get("name", schema["type"]) for column, schema in schemas.items()}
    scales = {column: schema.get("parameters", {}).get("scale") for column, schema in schemas.items()}
    envelope = "op string, after map<string, string>"
    messages = stack.spark.createDataFrame(seen.messages[mode], "value string, word string")
    rows = (
        messages.selectExpr(
            "word",
            f"from_json(value, '{envelope}') as bare",
            f"from_json(value, 'payload struct<{envelope}>').payload as full",
        )
        .selectExpr(
            "if(bare.op is null, full, bare) as _message",
            "word as _unavailable_value",
            "coalesce(bare.after, full.after) as raw",
            f"from_json('{json.dumps(names)}', 'map<string, string>') as name",
            f"from_json('{json.dumps(scales)}', 'map<string, string>') as scale",
        )
        .where(f"_message.{where}")
        .selectExpr("raw", *(f"{expression} as {column}" for column, expression in expressions.items()))
    )
    return {row["raw"]["label"]: row.asDict() for row in rows.collect()}


def rules(kind: str, mode: str) -> list[list[str]]:
    """The rules of a kind that speak of a mode: patterns of modes, columns and rows, and why."""
    return [rule for rule in ENCODINGS[kind] if matches(mode, rule[0])]


def matches(name: str, patterns: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns.split())


@pytest.mark.parametrize("mode", MODES)
def test_each_value_is_what_postgres_says_or_is_set_aside(stack: Stack, seen: Seen, mode: str) -> None:
    of_mode = macros(MODES[mode].get("variables", {}))
    units = MODES[mode].get("units", {})
    types = types_of(mode)
    expressions = {}
    for column, declared in types.items():
        options = {"unit": units[column]} if column in units else {}
        raw = f"raw['{column}']"
        decoded = of_mode.decode_value(raw, declared, f"name['{column}']", f"scale['{column}']", options)
        decoded = f"case when not {of_mode.is_unavailable(raw, declared)} then {decoded} end"
        expressions[column] = in_spark(declared, decoded)
    rows = select(stack, seen, mode, expressions, "op in ('r', 'c') and raw['label'] <> 'large'")
    assert rows.keys() == seen.expected[mode].keys()

    wrong, needed = [], []
    for label, row in rows.items():
        for column, declared in types.items():
            raw = row["raw"][column]
            expected = comparable(column, declared, seen.expected[mode][label][column])
            told = comparable(column, declared, row[column])
            if told != expected:
                # NULL for what is there is a value set aside; any other difference is Debezium's.
                kind = "set_aside" if raw is not None and told is None else "lost"
                why = [rule for rule in rules(kind, mode) if matches(column, rule[1]) and matches(label, rule[2])]
                needed += why
                if not why:
                    wrong.append(f"{label}, {column}: {expected} in Postgres, {raw} sent, {told} decoded")
    assert wrong == []
    assert [rule for kind in ("set_aside", "lost") for rule in rules(kind, mode) if rule not in needed] == []


@pytest.mark.parametrize("mode", MODES)
def test_a_large_value_left_as_it_was_is_known_or_hidden(stack: Stack, seen: Seen, mode: str) -> None:
    of_mode = macros(MODES[mode].get("variables", {}))
    types = types_of(mode)
    told = {column: of_mode.is_unavailable(f"raw['{column}']", types[column]) for column in LARGE}
    (row,) = select(stack, seen, mode, told, "op = 'u'").values()
    hidden = {column for column in LARGE if row["raw"][column] is None}
    assert hidden == set(MODES[mode]["hidden"].split())
    assert {column for column in LARGE if not row[column]} == hidden


def test_texts_by_hand(stack: Stack) -> None:
    decode = macros({}).decode_value
    expected, columns = [], []
    for declared, name, scale, texts in ENCODINGS["by_hand"]:
        schema = ["cast(null as string)" if text == "null" else f"'{text}'" for text in (name, scale)]
        for text, told in texts.items():
            expected.append((declared, name, text, None if told == "null" else told))
            columns.append(f"cast({decode(f'texts[{len(columns)}]', declared, *schema)} as string) as c{len(columns)}")
    texts = stack.spark.createDataFrame([([text for _, _, text, _ in expected],)], "texts array<string>")
    (row,) = texts.selectExpr(*columns).collect()
    assert [(*case[:3], told) for case, told in zip(expected, row, strict=True)] == expected
