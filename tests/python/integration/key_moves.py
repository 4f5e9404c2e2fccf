"""Transactions in which rows move to other keys, and two rows may have the same key until the commit.

Each case has keys of its own, from a multiple of `SPAN` on, so that all share a table and a run of dbt.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from lanes import Lane, Table

SPAN = 1000

COLUMNS = {"id": "int", "name": "string", "pages": "int"}

# The key is checked at the commit. Postgres lets such a table be updated under FULL alone.
SHELVES = Table(
    "shelves",
    key="id",
    columns=COLUMNS,
    definition="id int, name text, pages int, primary key (id) deferrable initially deferred",
    replica_identity="full",
)
# The messages of `shelves`, but of each case only the first half comes in the first run of dbt.
HALVES = Table("halves", key="id", columns=COLUMNS, definition=SHELVES.definition, replica_identity="full")
# The key is checked row by row, so that rows move one after another, in the order in which they are stored.
BOXES = Table("boxes", key="id", columns=COLUMNS, definition="id int primary key, name text, pages int")

TABLES = (SHELVES, HALVES, BOXES)

# Keys of a case's rows when it begins, in the order in which they are stored, and its statements: `{t}` is the table,
# `{n}` where the case's keys begin. A row's name is its first key.
Case = tuple[Sequence[int], Sequence[str]]

WITHIN = "id between {n} and {n} + 999"

ONE_AFTER_ANOTHER: dict[str, Case] = {
    "up": ([101, 3, 2, 1], ["update {t} set id = id + 1 where " + WITHIN]),
    "down": ([1, 2, 3, 101], ["update {t} set id = id - 1 where " + WITHIN]),
    "up with other columns": ([3, 2, 1], ["update {t} set id = id + 1, pages = pages + 7 where " + WITHIN]),
    "swap by way of a third key": (
        [1, 2],
        [
            "update {t} set id = {n} + 9 where id = {n} + 1",
            "update {t} set id = {n} + 1 where id = {n} + 2",
            "update {t} set id = {n} + 2 where id = {n} + 9",
        ],
    ),
    "there and away": ([], ["insert into {t} values ({n} + 1, 'new', 0)", "delete from {t} where id = {n} + 1"]),
    "away and there and away": (
        [1],
        [
            "delete from {t} where id = {n} + 1",
            "insert into {t} values ({n} + 1, 'new', 0)",
            "delete from {t} where id = {n} + 1",
        ],
    ),
}
AT_ONCE: dict[str, Case] = {
    "up from below": ([1, 2, 3, 101], ["update {t} set id = id + 1 where " + WITHIN]),
    "up from below, in statements": (
        [1, 2],
        [
            "update {t} set id = {n} + 2 where id = {n} + 1",
            "update {t} set id = {n} + 3 where name = '2' and " + WITHIN,
        ],
    ),
    "down from above": ([101, 3, 2, 1], ["update {t} set id = id - 1, pages = pages + 1 where " + WITHIN]),
    "swap": ([1, 2], ["update {t} set id = {n} + 3 - (id - {n}) where " + WITHIN]),
    "swap, in statements": (
        [1, 2],
        [
            "update {t} set id = {n} + 2 where id = {n} + 1",
            "update {t} set id = {n} + 1 where name = '2' and " + WITHIN,
        ],
    ),
    "rotation": ([1, 2, 3], ["update {t} set id = {n} + 1 + (id - {n}) % 3, pages = null where " + WITHIN]),
    "up twice": (
        [1, 2, 3],
        ["update {t} set id = id + 1 where " + WITHIN, "update {t} set id = id + 1, pages = 5 where " + WITHIN],
    ),
    "up and back": (
        [1, 2, 3],
        ["update {t} set id = id + 1 where " + WITHIN, "update {t} set id = id - 1 where " + WITHIN],
    ),
    "through a key that another row has": (
        [1, 2],
        [
            "update {t} set id = {n} + 2 where id = {n} + 1",
            "update {t} set id = {n} + 5 where name = '1' and " + WITHIN,
        ],
    ),
    "a new row in place of another": (
        [1],
        ["insert into {t} values ({n} + 1, 'new', 0)", "delete from {t} where name = '1' and " + WITHIN],
    ),
    "a new row beside another, and away": (
        [1],
        ["insert into {t} values ({n} + 1, 'new', 0)", "delete from {t} where name = 'new' and " + WITHIN],
    ),
    "both are changed, the new one is left": (
        [1],
        [
            "insert into {t} values ({n} + 1, 'new', 0)",
            "update {t} set pages = pages + 1 where name = 'new' and " + WITHIN,
            "update {t} set pages = pages + 1 where name = '1' and " + WITHIN,
            "delete from {t} where name = '1' and " + WITHIN,
        ],
    ),
    "both are changed, the old one is left": (
        [1],
        [
            "insert into {t} values ({n} + 1, 'new', 0)",
            "update {t} set pages = pages + 1 where " + WITHIN,
            "delete from {t} where name = 'new' and " + WITHIN,
        ],
    ),
    "three have it": (
        [1, 2, 3],
        [
            "update {t} set id = {n} + 2 where " + WITHIN,
            "delete from {t} where name = '3' and " + WITHIN,
            "delete from {t} where name = '2' and " + WITHIN,
        ],
    ),
    "two that are alike": (
        [1],
        [
            "insert into {t} select * from {t} where " + WITHIN,
            "delete from {t} where ctid = (select min(ctid) from {t} where " + WITHIN + ")",
        ],
    ),
    "up, and then all are deleted": (
        [1, 2, 3],
        ["update {t} set id = id + 1 where " + WITHIN, "delete from {t} where " + WITHIN],
    ),
    "undone in part": (
        [1, 2],
        [
            "savepoint s",
            "update {t} set id = id + 1 where " + WITHIN,
            "rollback to s",
            "update {t} set id = id + 5 where id = {n} + 2",
        ],
    ),
}
CASES = {
    SHELVES.name: {**ONE_AFTER_ANOTHER, **AT_ONCE},
    BOXES.name: ONE_AFTER_ANOTHER,
}


class KeyMoves:
    """The cases on a lane, once before its first run of dbt and once more before its second."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        # Messages of `shelves` that are on its topic, and those that `halves` was not given yet.
        self.copied = 0
        self.held_back: list[tuple[bytes | None, bytes | None]] = []

    def prepare(self) -> None:
        """The rows that each case begins with. Before capture begins, the snapshot reads them."""
        for table, cases in CASES.items():
            for number, (rows, _) in enumerate(cases.values(), start=1):
                for row in rows:
                    self.lane.sql(f"insert into {table} values ({number * SPAN + row}, '{row}', {number})")

    def play(self) -> None:
        """Each case is a transaction."""
        for table, cases in CASES.items():
            for number, (_, statements) in enumerate(cases.values(), start=1):
                with self.lane.connect() as connection, connection.transaction():
                    for statement in statements:
                        connection.execute(statement.format(t=table, n=number * SPAN).encode())

    def begin_again(self) -> None:
        """The rows that each case begins with, as changes."""
        for table in CASES:
            self.lane.sql(f"delete from {table}")
        self.prepare()

    def copy(self, *, whole: bool) -> None:
        """Send `halves` what it was not given yet: of each case's new messages only the first half, unless `whole`."""
        messages = self.messages()
        new, self.copied = messages[self.copied :], len(messages)
        self.lane.send(HALVES.name, self.held_back)
        by_case = defaultdict(list)
        for key, value in new:
            by_case[json.loads(key or b'{"id": 0}')["id"] // SPAN].append((key, value))
        cut = 1 if whole else 2
        self.lane.send(HALVES.name, [message for case in by_case.values() for message in case[: len(case) // cut]])
        self.held_back = [] if whole else [message for case in by_case.values() for message in case[len(case) // 2 :]]

    def messages(self) -> list[tuple[bytes | None, bytes | None]]:
        """All messages of `shelves`, in order."""
        reader = self.lane.stack.spark.read.format("kafka").option("subscribe", self.lane.topic(SHELVES.name))
        reader = reader.option("kafka.bootstrap.servers", self.lane.stack.environment["KAFKA_BOOTSTRAP_SERVERS"])
        rows = reader.load().select("offset", "key", "value").toArrow().to_pylist()
        return [(row["key"], row["value"]) for row in sorted(rows, key=lambda row: row["offset"])]

    def differences(self) -> dict[str, str]:
        """The cases whose rows in Silver aren't those in Postgres, by table and name."""
        return {
            f"{table}, {name}": f"{got} and not {wanted}"
            for table, source in ((SHELVES.name, SHELVES.name), (HALVES.name, SHELVES.name), (BOXES.name, BOXES.name))
            for number, name in enumerate(CASES[source], start=1)
            if (got := rows_of(self.lane.silver_rows(table), number))
            != (wanted := rows_of(self.lane.postgres_rows(source), number))
        }


def rows_of(rows: Sequence[dict[str, object]], number: int) -> list[tuple[object, ...]]:
    return sorted(
        ((row["id"], row["name"], row["pages"]) for row in rows if int(str(row["id"])) // SPAN == number),
        key=repr,
    )
