"""Histories sent through the real chain, and compared with Postgres after each run of dbt."""

from __future__ import annotations

import contextlib
import math
import random
import shutil
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from histories import DEFINITIONS, SPAN, TABLES, Emptying, Part, Plan, Round, Transaction, emptying, history, script
from key_moves import TABLES as MOVED
from key_moves import KeyMoves
from lanes import Lane, Table
from truth import Rows

LETTERS = Table(
    "letters",
    key="id",
    columns={"id": "bigint", "title": "string", "body": "string", "attachment": "binary", "pages": "int"},
    definition=DEFINITIONS["letters"],
    histories={"letters_history": None},
)
PAYMENTS = Table(
    "payments",
    key=["branch", "code"],
    columns={
        "branch": "int",
        "code": "string",
        "amount": "decimal(12, 2)",
        "payee": "string",
        "is_urgent": "boolean",
        "due_date": "date",
        "paid_at": "timestamp",
    },
    definition=DEFINITIONS["payments"],
    replica_identity="full",
    histories={"payments_history": None},
)
# Large values are compared by their digest, which Postgres and Spark write alike.
LARGE = {"body", "attachment"}

# How many transactions are open at once.
SESSIONS = 4

# Every change of a row, as a trigger sees it, in the order of a row's changes: its lock holds the next one back. `kept`
# are the columns that an update left as they were.
AUDIT = """
create table audit_{table} (
    sequence bigserial primary key, op text, tx_id bigint, kept text[], told {table}, before {table}
);

create function audit_{table}() returns trigger language plpgsql as $$
begin
    if tg_op = 'TRUNCATE' then
        insert into audit_{table} (op, tx_id) values ('t', pg_current_xact_id()::text::bigint);
        return null;
    end if;
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and ({old_key}) <> ({new_key}) then
        insert into audit_{table} (op, tx_id, told, before) values ('d', pg_current_xact_id()::text::bigint, old, old);
    end if;
    if tg_op <> 'DELETE' then
        insert into audit_{table} (op, tx_id, kept, told, before) values (
            case when tg_op = 'UPDATE' and ({old_key}) = ({new_key}) then 'u' else 'c' end,
            pg_current_xact_id()::text::bigint,
            array(
                select one.key from jsonb_each(to_jsonb(new)) as one
                where tg_op = 'UPDATE' and one.value = to_jsonb(old) -> one.key
            ),
            new,
            case when tg_op = 'UPDATE' then old end
        );
    end if;
    return null;
end $$;

create trigger audit_row after insert or update or delete on {table}
for each row execute function audit_{table}();

create trigger audit_truncate before truncate on {table}
for each statement execute function audit_{table}();
"""


@dataclass
class Figures:
    """What a trial came to."""

    histories: int = 0
    runs: int = 0
    transactions: int = 0
    statements: int = 0
    changes: int = 0
    messages: int = 0
    sent_again: int = 0
    landed_again: int = 0
    differences: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def __str__(self) -> str:
        spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        return (
            f"{self.histories} histories in {self.runs} runs of dbt: {self.transactions} transactions with "
            f"{self.statements} statements, {self.changes} changes in {self.messages} messages, {self.sent_again} of "
            f"them sent again, {self.landed_again} times landed again: {self.differences} differences ({spent})"
        )


@dataclass(frozen=True)
class Difference:
    """Where a table isn't what it must be, for the keys of one history."""

    number: int
    table: str
    text: str


class Trial:
    """Histories of one plan, on a lane that has their tables."""

    def __init__(self, lane: Lane, plan: Plan, numbers: Sequence[int]) -> None:
        self.lane = lane
        self.plan = plan
        self.histories = {number: history(number, plan) for number in numbers}
        self.moves = KeyMoves(lane)
        self.rng = random.Random(f"trial {plan.seed}")
        self.figures = Figures(histories=len(numbers))
        # Of the first round that had any.
        self.differences: list[Difference] = []

    def run(self) -> None:
        """Play all rounds, up to one that ends in a difference."""
        for table in self.tables:
            self.lane.sql(
                AUDIT.format(
                    table=table.name,
                    old_key=", ".join(f"old.{name}" for name in table.keys),
                    new_key=", ".join(f"new.{name}" for name in table.keys),
                )
            )
        for index, one in enumerate(self.plan.rounds):
            self.round(index, one)
            if self.differences:
                break
        for table in TABLES:
            (counts,) = self.lane.stack.rows(
                f"select count(*) as landed, count(distinct partition, offset) as sent from {self.lane.bronze}.{table}"
            )
            self.figures.messages += counts["sent"]
            self.figures.landed_again += counts["landed"] - counts["sent"]

    @property
    def tables(self) -> list[Table]:
        return [self.lane.tables[name] for name in TABLES]

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.figures.seconds[name] += time.monotonic() - began

    def round(self, index: int, one: Round) -> None:
        if index == 0:
            self.moves.prepare()
        for place, part in enumerate(one.parts):
            with self.timed("Postgres"):
                self.play([self.histories[number][index][place] for number in self.histories])
                if part.emptying:
                    self.empty(index * 10 + place, part.emptying)
            if (index, place) == (0, 0):
                self.capture()
            self.trouble(part)
        if index < 2:
            with self.timed("key moves"):
                self.move_keys(index)
        with self.timed("capture"):
            self.lane.wait_until_captured()
        self.land(one.batches, all_over=one.loses_checkpoints)
        with self.timed("dbt"):
            self.lane.build("run", "--select", *(f"{table.base}+" for table in [*self.tables, *MOVED]))
        self.figures.runs += 1
        with self.timed("comparison"):
            self.differences = [found for table in self.tables for found in self.compare(table)]
        self.figures.differences = len(self.differences)

    def move_keys(self, index: int) -> None:
        """Play the cases of `key_moves`. Of one table's messages half are sent before the first run of dbt only."""
        if index:
            self.moves.begin_again()
        self.moves.play()
        self.lane.wait_until_captured()
        self.moves.copy(whole=index > 0)

    def capture(self) -> None:
        """Let capture begin, and note what rows its snapshot must read."""
        for table in TABLES:
            self.lane.sql(f"truncate audit_{table}")
            self.lane.sql(f"insert into audit_{table} (op, told) select 'r', {table} from {table}")
        with self.timed("capture"):
            # A key's messages share a partition; those of a table are on several.
            self.lane.capture(
                topic__creation__groups="several",
                topic__creation__several__include=self.lane.topic("payments"),
                topic__creation__several__partitions="3",
                topic__creation__several__replication__factor="1",
            )
            self.lane.wait_until_captured()

    def trouble(self, part: Part) -> None:
        """What goes wrong after a part, and what is landed then."""
        if part.sent_again or part.is_landed:
            with self.timed("capture"):
                self.lane.wait_until_captured()
        if part.sent_again:
            with self.timed("sending again"):
                self.send_again(part.sent_again)
        if part.is_landed:
            self.land(1, all_over=False)

    def play(self, transactions: Sequence[Sequence[Transaction]]) -> None:
        """Play a part of each history, transactions of different ones side by side."""
        lines = {place: deque(self.lines(some)) for place, some in enumerate(transactions)}
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(self.lane.connect()) for _ in range(SESSIONS)]
            busy: dict[int, Any] = {}
            while lines:
                place = self.rng.choice(list(lines if idle else busy))
                if place not in busy:
                    busy[place] = idle.pop()
                line = lines[place].popleft()
                busy[place].execute(line)
                if line in ("commit", "rollback"):
                    idle.append(busy.pop(place))
                if not lines[place]:
                    del lines[place]

    def lines(self, transactions: Sequence[Transaction]) -> Iterator[str]:
        for transaction in transactions:
            self.figures.transactions += 1
            self.figures.statements += len(transaction.statements)
            yield "begin"
            yield from (statement.sql for statement in transaction.statements)
            yield "commit" if transaction.is_committed else "rollback"

    def empty(self, number: int, what: Emptying) -> None:
        with self.lane.connect() as first, self.lane.connect() as second:
            for session, line in emptying(number, what):
                (first, second)[session].execute(line)

    def send_again(self, count: int) -> None:
        """Put the last messages of each partition on it once more, as Debezium does after a crash."""
        kafka = {"kafka.bootstrap.servers": self.lane.stack.environment["KAFKA_BOOTSTRAP_SERVERS"]}
        source = self.lane.stack.spark.read.format("kafka").options(**kafka)
        messages = source.option("subscribe", ",".join(map(self.lane.topic, TABLES))).load()
        last = "max(offset) over (partition by topic, partition)"
        again = (
            messages.selectExpr("topic", "partition", "offset", "key", "value", f"{last} as last")
            .where(f"offset > last - {count}")
            .coalesce(1)
            .sortWithinPartitions("topic", "partition", "offset")
            .select("topic", "partition", "key", "value")
        )
        before = self.messages()
        again.write.format("kafka").options(**kafka).save()
        self.figures.sent_again += self.messages() - before

    def messages(self) -> int:
        """How many messages are on the topics."""
        kafka = {"kafka.bootstrap.servers": self.lane.stack.environment["KAFKA_BOOTSTRAP_SERVERS"]}
        source = self.lane.stack.spark.read.format("kafka").options(**kafka)
        return source.option("subscribe", ",".join(map(self.lane.topic, TABLES))).load().count()

    def land(self, batches: int, *, all_over: bool) -> None:
        """Run ingestion, in about so many micro-batches, perhaps as if nothing had been landed yet."""
        with self.timed("ingestion"):
            if all_over:
                shutil.rmtree(self.lane.checkpoints)
            most = max(self.changes(table) for table in TABLES)
            self.lane.ingest(max_offsets_per_trigger=math.ceil(most / batches) if batches > 1 else None)

    def changes(self, table: str) -> int:
        (row,) = self.lane.sql(f"select count(*) as count from audit_{table}")
        return int(row["count"])

    def compare(self, table: Table) -> list[Difference]:
        """Where Silver is not what Postgres holds, or its changes are not those that there were."""
        silver, postgres = f"{self.lane.silver}.{table.staging}", self.lane.sql
        audit = postgres(
            f"select sequence, op, tx_id, kept, {selected(table, '(told).')}, to_jsonb(told) as row,"
            f" to_jsonb(before) as before from audit_{table.name} order by sequence"
        )
        audit = with_rows_left(table, audit)
        self.figures.changes = sum(self.changes(table) for table in TABLES)
        rows = differing_rows(
            by_key(table, postgres(f"select {selected(table)} from {table.name}")),
            by_key(
                table, self.lane.stack.rows(f"select {selected(table)}, is_deleted, _cdc_unavailable from {silver}")
            ),
            ever={key_of(table, row) for row in audit if row["op"] != "t"},
        )
        changes = differing_changes(
            table,
            audit,
            self.lane.stack.rows(
                f"select {selected(table)}, _cdc_op, _cdc_lsn, _cdc_tx_id, _cdc_unavailable, _cdc_error "
                f"from {self.lane.silver}.{table.base} order by _cdc_topic_life, _cdc_offset"
            ),
        )
        (history,) = table.histories
        versions = differing_versions(
            versions_of(table, audit),
            versions_in(
                table,
                self.lane.stack.rows(
                    f"select {selected(table)}, version_number, is_current, valid_from, valid_to, is_deleted,"
                    f" _cdc_unavailable from {self.lane.silver}.{history} order by version_number"
                ),
            ),
        )
        return [
            Difference(number_of(key), table.name, f"{table.name} {key}: {text}")
            for key, text in [*rows.items(), *changes.items(), *versions.items()]
        ]

    def report(self, most: int = 3) -> str:
        """What to look at: the differences, and for the first few histories that have one the SQL that leads there."""
        lines = [difference.text for difference in self.differences[:20]]
        failed = dict.fromkeys((difference.number, difference.table) for difference in self.differences)
        for number, table in list(failed)[:most]:
            lines.append(script(number, self.plan, rounds=self.figures.runs, table=table))
            alone = f"SEED={self.plan.seed} ROUNDS={len(self.plan.rounds)} HISTORY={number}"
            lines.append(f"-- To repeat it alone: make fuzz {alone}")
        return "\n\n".join([str(self.figures), *lines])


Key = tuple[Any, ...]


def selected(table: Table, of: str = "") -> str:
    """A table's columns as a list for SELECT, in Postgres or Spark."""
    return ", ".join(f"md5({of}{name}) as {name}" if name in LARGE else f"{of}{name}" for name in table.columns)


def key_of(table: Table, row: Mapping[str, Any]) -> Key:
    return tuple(row[name] for name in table.keys)


def by_key(table: Table, rows: Rows) -> dict[Key, dict[str, Any]]:
    found = {key_of(table, row): row for row in rows}
    assert len(found) == len(rows), f"a key of {table.name} is there twice"
    return found


def number_of(key: Key) -> int:
    """The history that a key is of."""
    if len(key) == 1:
        return int(key[0]) // SPAN
    branch, _ = key
    return int(branch) * 10 // SPAN


def differing_rows(
    postgres: Mapping[Key, Mapping[str, Any]], silver: Mapping[Key, Mapping[str, Any]], *, ever: set[Key]
) -> dict[Key, str]:
    """The keys whose row in Silver isn't right, and what is wrong.

    Args:
        postgres: the rows there are.
        silver: those that Silver has, also deleted ones.
        ever: every key that there ever was.
    """
    found = {}
    for key in sorted(ever | postgres.keys() | silver.keys()):
        wanted, got = postgres.get(key), silver.get(key)
        if got is None:
            found[key] = "is not in Silver"
        elif key not in ever:
            found[key] = "never was"
        elif got["is_deleted"] != (wanted is None):
            found[key] = "is deleted in Silver only" if wanted else "is alive in Silver only"
        elif wanted is not None and (wrong := [name for name in wanted if as_text(wanted[name]) != as_text(got[name])]):
            values = ", ".join(f"{name} is {got[name]!r} and not {wanted[name]!r}" for name in wrong)
            found[key] = f"{values} in Silver"
        elif wanted is not None and got["_cdc_unavailable"]:
            found[key] = f"Silver takes {got['_cdc_unavailable']} for unknown"
    return found


def differing_changes(table: Table, audit: Rows, base: Rows) -> dict[Key, str]:
    """The keys whose changes, in the base model, aren't those that there were, each once and in order.

    Args:
        table: of the changes.
        audit: as the triggers saw them, in order.
        base: rows of the base model, in the order of the partitions.
    """
    happened, told = defaultdict(list), defaultdict(list)
    for row in audit:
        if row["op"] != "t":
            happened[key_of(table, row)].append(row)
    for row in base:
        assert row["_cdc_error"] is None, row
        if row["_cdc_op"] != "t":
            told[key_of(table, row)].append(row)
    # What emptied the table has no key; it stands among the changes of each.
    emptied = [(row["sequence"], row["tx_id"]) for row in audit if row["op"] == "t"]
    emptied_told = sorted((row["_cdc_lsn"], row["_cdc_tx_id"]) for row in base if row["_cdc_op"] == "t")
    found = {}
    for key in sorted(happened.keys() | told.keys()):
        wanted = labels([(row["sequence"], row["op"], row["tx_id"]) for row in happened[key]], emptied)
        got = labels([(row["_cdc_lsn"], row["_cdc_op"], row["_cdc_tx_id"]) for row in told[key]], emptied_told)
        if wanted != got:
            found[key] = f"its changes are\n  {' '.join(got)} and not\n  {' '.join(wanted)}"
            continue
        for change, row in zip(happened[key], told[key], strict=True):
            if wrong := wrong_values(table, change, row):
                found[key] = f"{row['_cdc_op']} of transaction {row['_cdc_tx_id']} tells {wrong}"
    return found


# What a row holds, as text by column; None where it is deleted.
State = Mapping[str, str] | None


def state_of(table: Table, row: Mapping[str, Any]) -> State:
    return {name: as_text(row[name]) for name in table.columns}


def versions_of(table: Table, audit: Rows) -> dict[Key, list[State]]:
    """What versions the changes of each row make.

    Args:
        table: of the changes.
        audit: as the triggers saw them, in order, with `op`: `t` for what emptied the table.
    """
    found: dict[Key, list[State]] = defaultdict(list)
    for row in audit:
        if row["op"] == "t":
            for versions in found.values():
                add_version(versions, "d", None)
        else:
            add_version(found[key_of(table, row)], row["op"], None if row["op"] == "d" else state_of(table, row))
    return found


def add_version(versions: list[State], op: str, state: State) -> None:
    """Add the version that a change begins.

    Deleting a deleted row begins none, nor does reading a row that is as it was.
    """
    if not versions or op not in "dr" or state != versions[-1]:
        versions.append(state)


def versions_in(table: Table, rows: Rows) -> dict[Key, list[State]]:
    """The same as a history has them. They must be numbered, and follow each other in time.

    Args:
        table: of the history.
        rows: of the history, by version number.
    """
    found: dict[Key, Rows] = defaultdict(list)
    for row in rows:
        found[key_of(table, row)].append(row)
    for key, versions in found.items():
        assert [row["version_number"] for row in versions] == list(range(1, len(versions) + 1)), (table.name, key)
        assert [row["is_current"] for row in versions] == [False] * (len(versions) - 1) + [True], (table.name, key)
        begin, end = ([row[name] for row in versions] for name in ("valid_from", "valid_to"))
        assert [*begin[1:], None] == end, (table.name, key)
        assert begin == sorted(begin), (table.name, key)
        assert not any(row["_cdc_unavailable"] for row in versions if not row["is_deleted"]), (table.name, key)
    return {
        key: [None if row["is_deleted"] else state_of(table, row) for row in versions]
        for key, versions in found.items()
    }


def differing_versions(wanted: Mapping[Key, list[State]], got: Mapping[Key, list[State]]) -> dict[Key, str]:
    """The keys whose versions aren't those that there were."""
    return {
        key: f"its versions are\n  {got.get(key)} and not\n  {wanted.get(key)}"
        for key in wanted.keys() | got.keys()
        if wanted.get(key) != got.get(key)
    }


def with_rows_left(table: Table, audit: Rows) -> Rows:
    """The audit, in which a delete that leaves another row with its key is an update to the row that is left."""
    rows: dict[Key, Rows] = defaultdict(list)
    told = []
    for change in audit:
        if change["op"] == "t":
            rows.clear()
        else:
            having_key = rows[key_of(table, change)]
            if change["op"] in "ud":
                having_key.remove(next(row for row in having_key if row["row"] == change["before"]))
            if change["op"] != "d":
                having_key.append(change)
            elif having_key:
                left = {name: having_key[-1][name] for name in table.columns}
                change = {**change, **left, "op": "u", "kept": None}
        told.append(change)
    return told


def labels(changes: list[tuple[int, str, int]], emptied: list[tuple[int, int]]) -> list[str]:
    """A key's changes with the emptyings of the table among them, by their places: kind and transaction of each."""
    ahead, found = deque(emptied), []
    for place, op, tx_id in changes:
        while ahead and ahead[0][0] < place:
            found.append(f"t{ahead.popleft()[1]}")
        # A snapshot's rows are of no transaction.
        found.append("r" if op == "r" else f"{op}{tx_id}")
    return found + [f"t{tx_id}" for _, tx_id in ahead]


def wrong_values(table: Table, change: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """What a decoded change says wrongly; empty when nothing."""
    if row["_cdc_op"] == "d":
        return ""
    missing = row["_cdc_unavailable"] or []
    wrong = [name for name in missing if name not in (change["kept"] or []) or row[name] is not None]
    wrong += [name for name in table.columns if name not in missing and as_text(change[name]) != as_text(row[name])]
    return ", ".join(f"{name} as {row[name]!r} and not {change[name]!r}" for name in wrong)


def as_text(value: Any) -> str:
    """A value so that only what is the same in Postgres and Spark is equal."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return repr(value)
