"""Random histories of two tables, as SQL. Pure: a seed always gives the same, and each history can be had alone.

A history has keys of its own, so that many share tables and dbt runs. What empties a whole table concerns them all, and
is part of the plan that they share.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

# Keys of a history begin at its number times this.
SPAN = 1000
# Places for rows that a history fills and empties again and again, in each table, from its first key on.
PLACES = 7
# How far a change of many keys at once moves them.
SHIFT = 500

TABLES = ("letters", "payments")

# `letters` tells no more of a deleted row than its key, and leaves large values out of an update that doesn't touch
# them; `payments` has a key of two columns, which two rows may share until the commit.
DEFINITIONS = {
    "letters": "id bigint primary key, title text, body text, attachment bytea, pages int",
    "payments": """
        branch int, code text, amount numeric(12, 2), payee varchar(200), is_urgent boolean, due_date date,
        paid_at timestamptz, primary key (branch, code) deferrable initially deferred
    """,
}


@dataclass(frozen=True)
class Statement:
    """One statement, and the table it works on; none for what only steers the transaction."""

    sql: str
    table: str | None = None


@dataclass(frozen=True)
class Transaction:
    """Statements that are committed together, or rolled back."""

    statements: tuple[Statement, ...]
    is_committed: bool = True

    @property
    def tables(self) -> set[str]:
        return {statement.table for statement in self.statements if statement.table}

    def __str__(self) -> str:
        end = "commit" if self.is_committed else "rollback"
        return "\n".join(f"{line};" for line in ["begin", *(one.sql for one in self.statements), end])


@dataclass(frozen=True)
class Emptying:
    """Tables that are truncated, and what else happens in that moment.

    Attributes:
        tables: which.
        way: `alone`; `amid` rows of the same transaction, while another one is committed; `beside` a transaction that
            is open all the while; `undone` by a rollback of it all, or `undone_in_part` by one to a savepoint.
    """

    tables: tuple[str, ...]
    way: str

    @property
    def is_undone(self) -> bool:
        return self.way.startswith("undone")


@dataclass(frozen=True)
class Part:
    """A stretch of every history.

    Attributes:
        emptying: what follows on it.
        sent_again: how many of each partition's last messages then come once more, as after a crash of the connector.
        is_landed: whether what there is so far is landed then already.
    """

    emptying: Emptying | None = None
    sent_again: int = 0
    is_landed: bool = False


@dataclass(frozen=True)
class Round:
    """What lies between two runs of dbt.

    Attributes:
        parts: at least one.
        batches: into how many micro-batches, about, what is landed at its end is split.
        loses_checkpoints: whether ingestion has forgotten by then what it landed, and lands everything again.
    """

    parts: tuple[Part, ...]
    batches: int = 1
    loses_checkpoints: bool = False


@dataclass(frozen=True)
class Plan:
    """What all histories of a run share. Capture begins after the first round's first part."""

    seed: int
    rounds: tuple[Round, ...]


def plan(seed: int, rounds: int) -> Plan:
    """A plan at random, in which every kind of trouble has its turn."""
    rng = random.Random(f"plan {seed}")
    planned = [
        Round(
            parts=tuple(
                Part(
                    emptying=_emptying(rng) if rng.random() < 0.4 else None,
                    sent_again=rng.randint(1, 60) if rng.random() < 0.4 else 0,
                    is_landed=rng.random() < 0.3,
                )
                for _ in range(rng.randint(2, 3))
            ),
            batches=rng.choice([1, 1, 3, 6]),
            loses_checkpoints=rng.random() < 0.3,
        )
        for _ in range(rounds)
    ]
    # However short the run, a round of it is landed in pieces, one sends again, one lands again and one empties.
    last = planned[-1]
    first, *others = last.parts
    sure = Part(emptying=replace(_emptying(rng), way="amid"), sent_again=40, is_landed=first.is_landed)
    planned[-1] = replace(last, parts=(sure, *others), loses_checkpoints=True)
    middle = planned[len(planned) // 2]
    planned[len(planned) // 2] = replace(middle, batches=6)
    return Plan(seed, tuple(planned))


def _emptying(rng: random.Random) -> Emptying:
    tables = rng.choice([("letters",), ("payments",), ("letters", "payments")])
    return Emptying(tables, rng.choice(["alone", "alone", "amid", "beside", "undone", "undone_in_part"]))


def history(number: int, plan: Plan) -> list[list[list[Transaction]]]:
    """The transactions of a history, by round and part."""
    writer = _Writer(number, random.Random(f"history {plan.seed} {number}"))
    return [[writer.part(part.emptying) for part in one.parts] for one in plan.rounds]


def script(number: int, plan: Plan, *, rounds: int, table: str | None = None) -> str:
    """A history up to the end of a round, to be read and repeated: its transactions, and what happens between them.

    Args:
        number: which.
        plan: of the run.
        rounds: how many rounds.
        table: leave out what doesn't touch this table.
    """
    lines = [f"-- History {number} of seed {plan.seed}" + (f", as far as it touches {table}" if table else "")]
    told = zip(plan.rounds[:rounds], history(number, plan), strict=False)
    for index, (one, parts) in enumerate(told, start=1):
        for place, (part, transactions) in enumerate(zip(one.parts, parts, strict=True)):
            lines += [str(transaction) for transaction in transactions if not table or table in transaction.tables]
            if part.emptying and (not table or table in part.emptying.tables):
                lines.append(f"-- {part.emptying.way}:\ntruncate {', '.join(part.emptying.tables)};")
            if (index, place) == (1, 0):
                lines.append("-- Capture begins, with a snapshot.")
            if part.sent_again:
                lines.append(f"-- Debezium sends the last {part.sent_again} messages again.")
            if part.is_landed:
                lines.append("-- Ingestion.")
        forgets = ", all over again" if one.loses_checkpoints else ""
        lines.append(f"-- Ingestion{forgets}, in about {one.batches} micro-batches; run {index} of dbt.")
    return "\n\n".join(lines)


def emptying(part: int, what: Emptying) -> list[tuple[int, str]]:
    """An emptying as statements, each with the number of the session that says it: 0 or 1.

    Args:
        part: number of the part in the run, from which its rows have their keys.
        what: see there.
    """
    table = what.tables[0]
    # Keys of nobody's history, for rows just before and after.
    before, after = _ROWS[table].insert(part * 2, 0), _ROWS[table].insert(part * 2 + 1, 0)
    again = _ROWS[table].insert(part * 2, 1)
    truncate = f"truncate {', '.join(what.tables)}"
    ways = {
        "alone": [(0, truncate)],
        "amid": [
            (0, "begin"),
            (0, before),
            (0, truncate),
            # Each message of the first transaction names this commit as the newest before it.
            (1, f"insert into boxes (id, name) values ({part}, 'of another transaction')"),
            (0, again),
            (0, after),
            (0, "commit"),
        ],
        "beside": [
            (1, "begin"),
            (1, "select pg_current_xact_id()"),
            (0, before),
            (0, truncate),
            (1, after),
            (0, again),
            (1, "commit"),
        ],
        "undone": [(0, "begin"), (0, before), (0, truncate), (0, after), (0, "rollback"), (0, before)],
        "undone_in_part": [
            (0, "begin"),
            (0, before),
            (0, "savepoint s"),
            (0, truncate),
            (0, "rollback to s"),
            (0, after),
            (0, "commit"),
        ],
    }
    return ways[what.way]


class _Letters:
    """SQL on rows of `letters`."""

    name = "letters"
    shares_keys = False

    def insert(self, key: int, pages: int) -> str:
        return f"insert into letters (id, pages) values ({key}, {pages})"

    def where(self, keys: list[int]) -> str:
        return f"id in ({', '.join(map(str, keys))})"

    def key(self, key: int) -> dict[str, str]:
        return {"id": str(key)}

    def shift(self, by: int) -> dict[str, str]:
        return {"id": f"id + {by}"}

    def values(self, rng: random.Random) -> dict[str, str]:
        return {
            "title": rng.choice(["null", "''", _text(rng.choice(TITLES))]),
            "body": _large_text(rng),
            "attachment": _large_bytes(rng),
            "pages": rng.choice(["null", "0", "2147483647", str(rng.randint(-9, 9))]),
        }


class _Payments:
    """SQL on rows of `payments`, whose key is a branch of ten places each and a code for the place."""

    name = "payments"
    shares_keys = True

    def insert(self, key: int, amount: int) -> str:
        return f"insert into payments (branch, code, amount) values ({', '.join(self.key(key).values())}, {amount})"

    def where(self, keys: list[int]) -> str:
        return f"(branch, code) in ({', '.join('(' + ', '.join(self.key(key).values()) + ')' for key in keys)})"

    def key(self, key: int) -> dict[str, str]:
        return {"branch": str(key // 10), "code": f"'{chr(ord('a') + key % 10)}'"}

    def shift(self, by: int) -> dict[str, str]:
        return {"branch": f"branch + {by // 10}"}

    def values(self, rng: random.Random) -> dict[str, str]:
        instant = datetime(1900, 1, 1, tzinfo=UTC) + timedelta(microseconds=rng.randrange(10**16))
        day = date(1, 1, 1) + timedelta(days=rng.randrange(3_600_000))
        return {
            "amount": rng.choice(["null", "0", "-0.01", "9999999999.99", f"{rng.randint(-(10**6), 10**6)}.5"]),
            "payee": rng.choice(["null", "''", _text(rng.choice(TITLES))]),
            "is_urgent": rng.choice(["null", "true", "false"]),
            "due_date": rng.choice(["null", "'0001-01-01'", "'9999-12-31'", f"'{day}'"]),
            "paid_at": rng.choice(["null", "'1969-12-31T23:59:59.999999Z'", f"'{instant.isoformat()}'"]),
        }


TITLES = [
    "A title",
    "O'Neill",
    "back\\slash",
    '"quoted"',
    "東京 ☕",
    " spaces ",
    "two\nlines",
    '{"op": "d"}',
    "null",
    "100%",
]

_ROWS: dict[str, _Letters | _Payments] = {"letters": _Letters(), "payments": _Payments()}


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _digits(rng: random.Random, most: int) -> str:
    """Random text that does not compress, of at least 8 kB, as an expression that isn't long itself."""
    count = rng.randint(260, most)
    return f"(select string_agg(md5('{rng.randrange(10**6)} ' || n), '') from generate_series(1, {count}) n)"


def _large_text(rng: random.Random) -> str:
    small = rng.choice(["null", "''", "'small'", "repeat('long but easily compressed ', 500)"])
    return _digits(rng, 500) if rng.random() < 0.7 else small


def _large_bytes(rng: random.Random) -> str:
    small = rng.choice(["null", "''", "'\\x00ff'"])
    return f"decode({_digits(rng, 400)}, 'hex')" if rng.random() < 0.5 else small


class _Writer:
    """Writes a history's transactions, knowing which of its keys have a row."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.first = number * SPAN
        self.rng = rng
        self.places: dict[str, set[int]] = {table: set() for table in TABLES}

    def part(self, emptying: Emptying | None) -> list[Transaction]:
        transactions = [self.transaction() for _ in range(self.rng.randint(1, 5))]
        if emptying and not emptying.is_undone:
            for table in emptying.tables:
                self.places[table].clear()
        return transactions

    def transaction(self) -> Transaction:
        before = deepcopy(self.places)
        statements = list(self.steps(self.rng.choice([1, 1, 2, 3, 5])))
        is_committed = self.rng.random() < 0.9
        if not is_committed:
            self.places = before
        return Transaction(tuple(statements), is_committed)

    def steps(self, count: int, depth: int = 0) -> Iterator[Statement]:
        for _ in range(count):
            if depth < 2 and self.rng.random() < 0.12:
                yield from self.savepoint(depth)
            else:
                table = self.rng.choice(TABLES)
                yield from (Statement(sql, table) for sql in self.step(table))

    def savepoint(self, depth: int) -> Iterator[Statement]:
        before = deepcopy(self.places)
        yield Statement(f"savepoint s{depth}")
        yield from self.steps(self.rng.randint(1, 3), depth + 1)
        if self.rng.random() < 0.6:
            self.places = before
            yield Statement(f"rollback to s{depth}")
        else:
            yield Statement(f"release s{depth}")

    def step(self, table: str) -> list[str]:
        """One step on a table: a statement, or a few that belong together."""
        rows, places = _ROWS[table], self.places[table]
        free = sorted(set(range(self.first, self.first + PLACES)) - places)
        taken = sorted(places)
        steps: list[tuple[int, Callable[[_Letters | _Payments, list[int], list[int]], list[str]], bool]] = [
            (6, self.insert, bool(free)),
            # Postgres takes no deferrable key for ON CONFLICT.
            (2, self.upsert, not rows.shares_keys),
            (7, self.update, bool(taken)),
            (1, self.touch, bool(taken)),
            (2, self.delete, bool(taken)),
            (2, self.reinsert, bool(taken)),
            (1, self.flash, bool(free)),
            (4, self.rename, bool(taken and free)),
            (2, self.chain, bool(taken and len(free) > 1)),
            (2, self.swap, bool(len(taken) > 1 and free)),
            (1, self.shift, bool(taken)),
            (2, self.slide, rows.shares_keys and bool(taken)),
            (2, self.exchange, rows.shares_keys and len(taken) > 1),
            (2, self.double, rows.shares_keys and bool(taken)),
            (2, self.pass_through, rows.shares_keys and len(taken) > 1 and bool(free)),
        ]
        possible = [(weight, step) for weight, step, is_possible in steps if is_possible]
        (chosen,) = self.rng.choices([step for _, step in possible], [weight for weight, _ in possible])
        return chosen(rows, taken, free)

    def some_of(self, keys: list[int], most: int = 3) -> list[int]:
        return self.rng.sample(keys, self.rng.randint(1, min(most, len(keys))))

    def some_values(self, rows: _Letters | _Payments) -> str:
        values = rows.values(self.rng)
        names = self.rng.sample(sorted(values), self.rng.randint(1, len(values)))
        return ", ".join(f"{name} = {values[name]}" for name in names)

    def insert(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        keys = self.some_of(free)
        self.places[rows.name].update(keys)
        return [f"insert into {rows.name} {self.rows_of(rows, keys)}"]

    def rows_of(self, rows: _Letters | _Payments, keys: list[int]) -> str:
        told = [{**rows.key(key), **rows.values(self.rng)} for key in keys]
        return f"({', '.join(told[0])}) values " + ", ".join(f"({', '.join(one.values())})" for one in told)

    def upsert(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        keys = self.some_of(taken + free)
        self.places[rows.name].update(keys)
        conflict = f"on conflict ({', '.join(rows.key(0))}) do update set {self.some_values(rows)}"
        return [f"insert into {rows.name} {self.rows_of(rows, keys)} {conflict}"]

    def update(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        return [f"update {rows.name} set {self.some_values(rows)} where {rows.where(self.some_of(taken))}"]

    def touch(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        """An update that changes nothing."""
        name = self.rng.choice(sorted(rows.values(self.rng)))
        return [f"update {rows.name} set {name} = {name} where {rows.where(self.some_of(taken))}"]

    def delete(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        keys = self.some_of(taken)
        self.places[rows.name].difference_update(keys)
        return [f"delete from {rows.name} where {rows.where(keys)}"]

    def reinsert(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        """Away and back again at once."""
        keys = self.some_of(taken, most=2)
        return [
            f"delete from {rows.name} where {rows.where(keys)}",
            f"insert into {rows.name} {self.rows_of(rows, keys)}",
        ]

    def flash(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        """There and away again at once."""
        keys = self.some_of(free, most=2)
        return [
            f"insert into {rows.name} {self.rows_of(rows, keys)}",
            f"delete from {rows.name} where {rows.where(keys)}",
        ]

    def move(self, rows: _Letters | _Payments, old: int, new: int, also: str = "") -> str:
        """A change of a row's key, which may change other values along with it."""
        self.places[rows.name].discard(old)
        self.places[rows.name].add(new)
        key = ", ".join(f"{name} = {value}" for name, value in rows.key(new).items())
        return f"update {rows.name} set {key}{also and ', ' + also} where {rows.where([old])}"

    def rename(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        also = self.some_values(rows) if self.rng.random() < 0.4 else ""
        return [self.move(rows, self.rng.choice(taken), self.rng.choice(free), also)]

    def chain(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        """From key to key to key, perhaps back to the first, perhaps with a change on the way."""
        one = self.rng.choice(taken)
        two, three = self.rng.sample(free, 2)
        statements = [self.move(rows, one, two)]
        if self.rng.random() < 0.5:
            statements.append(f"update {rows.name} set {self.some_values(rows)} where {rows.where([two])}")
        return [*statements, self.move(rows, two, self.rng.choice([one, three]))]

    def swap(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        """Two rows change places, by way of a third."""
        one, two = self.rng.sample(taken, 2)
        spare = self.rng.choice(free)
        moves = [(one, spare), (two, one), (spare, two)]
        statements = [self.move(rows, old, new) for old, new in moves]
        # Each move forgets the place it leaves, which the next one may have taken.
        self.places[rows.name].update([one, two])
        return statements

    def shift(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        """Many rows get other keys by one statement, and go back when they are far away already."""
        near = [key for key in taken if key < self.first + SHIFT and key + SHIFT not in taken]
        far = [key for key in taken if key >= self.first + SHIFT and key - SHIFT not in taken]
        keys, by = (far, -SHIFT) if far else (near, SHIFT)
        if not keys:
            return self.touch(rows, taken, free)
        self.places[rows.name].difference_update(keys)
        self.places[rows.name].update(key + by for key in keys)
        moved = ", ".join(f"{name} = {value}" for name, value in rows.shift(by).items())
        return [f"update {rows.name} set {moved} where {rows.where(keys)}"]

    def slide(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        """Rows move to the next key by one statement, most of them to one that another row leaves by it."""
        near = [key for key in taken if key < self.first + PLACES]
        by = self.rng.choice([1, -1])
        moved = [key for key in near if key + by in near or key + by in free]
        # Those that would push against one that stays, or against the first or last place.
        while blocked := [key for key in moved if key + by in taken and key + by not in moved]:
            moved = [key for key in moved if key not in blocked]
        if not moved:
            return self.touch(rows, taken, free)
        return [self.move_at_once(rows, {key: key + by for key in moved})]

    def exchange(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        """Two or three rows take each other's keys, by one statement or by one each."""
        keys = self.rng.sample(taken, min(len(taken), self.rng.choice([2, 2, 3])))
        moves = dict(zip(keys, keys[1:] + keys[:1], strict=True))
        if self.rng.random() < 0.5:
            return [self.move_at_once(rows, moves)]
        # Of the two rows that then have a key, either may be the one that moves on.
        return [self.move_one(rows, old, new) for old, new in moves.items()]

    def double(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        """A row with a key that another has, until one of the two is deleted, perhaps after changes of both."""
        key = self.rng.choice(taken)
        statements = [f"insert into {rows.name} {self.rows_of(rows, [key])}"]
        if self.rng.random() < 0.3:
            statements = [f"insert into {rows.name} select * from {rows.name} where {rows.where([key])}"]
        if self.rng.random() < 0.4:
            statements.append(f"update {rows.name} set {self.some_values(rows)} where {rows.where([key])}")
        return [*statements, f"delete from {rows.name} where {self.one_of(rows, key)}"]

    def pass_through(self, rows: _Letters | _Payments, taken: list[int], free: list[int]) -> list[str]:
        """A row moves to a key that another has, and one of the two moves on."""
        one, two = self.rng.sample(taken, 2)
        new = self.rng.choice(free)
        self.places[rows.name].discard(one)
        self.places[rows.name].add(new)
        return [self.move_one(rows, one, two), self.move_one(rows, two, new)]

    def one_of(self, rows: _Letters | _Payments, key: int) -> str:
        """Condition on one of the rows that have a key."""
        chosen = self.rng.choice(["min", "max"])
        return f"ctid = (select {chosen}(ctid) from {rows.name} where {rows.where([key])})"

    def move_one(self, rows: _Letters | _Payments, old: int, new: int) -> str:
        key = ", ".join(f"{name} = {value}" for name, value in rows.key(new).items())
        return f"update {rows.name} set {key} where {self.one_of(rows, old)}"

    def move_at_once(self, rows: _Letters | _Payments, moves: dict[int, int]) -> str:
        """Rows move to other keys, all by one statement; the taken places change with them."""
        self.places[rows.name].difference_update(moves)
        self.places[rows.name].update(moves.values())
        cases = [
            f"{name} = case "
            + " ".join(f"when {rows.where([old])} then {rows.key(new)[name]}" for old, new in moves.items())
            + " end"
            for name in rows.key(0)
        ]
        also = f", {self.some_values(rows)}" if self.rng.random() < 0.3 else ""
        return f"update {rows.name} set {', '.join(cases)}{also} where {rows.where(list(moves))}"
