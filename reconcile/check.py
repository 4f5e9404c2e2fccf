"""The comparison: one pass over each table on either side, and a second look only where the checksums differ.

A row's checksum is 60 bits of the MD5 of its values' texts (`canonical`), each with its length before it; a range's is
the sum of its rows'. A range is what the MD5 of the keys begins with alike: that is as good for a text or for several
columns as for numbers, and numbers with gaps fill the ranges evenly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial

from reconcile import canonical
from reconcile.errors import ReconcileError
from reconcile.gold import MARTS, Mart
from reconcile.project import Column, Entity, GoldTable, Project
from reconcile.stores import Bank, Lake, Row, Store

# Hexadecimal digits that name a range: 4096 of them.
RANGE_DIGITS = 3
# Rows of differing ranges that are looked into one by one; beyond that, what differs is said to be more.
LOOKED_INTO = 100_000
AT_ONCE = 2

Key = tuple[str | None, ...]


@dataclass(frozen=True)
class Side:
    """One store's half of a comparison: what to select from, and each column's text, the key's first."""

    store: Store
    relation: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Two halves that must hold the same rows.

    Attributes:
        table: what is checked, as the reader calls it.
        against: what it is checked against.
        columns: what is compared, the key's columns first.
        keys: how many columns make the key.
        bank: None where the bank has no such table: then there must be no rows.
        lake: in Silver or Gold.
        notes: what is not compared, and why.
    """

    table: str
    against: str
    columns: tuple[Column, ...]
    keys: int
    bank: Side | None
    lake: Side
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """A key that differs. `columns` has name, the bank's text and ours; it is empty for a row that one side lacks."""

    key: Key
    kind: str  # missing, too many, different
    columns: tuple[tuple[Column, str | None, str | None], ...] = ()


@dataclass(frozen=True)
class Result:
    """What came of one comparison.

    Attributes:
        expected: rows in the bank.
        actual: rows in Silver or Gold.
        counts: keys that differ, by kind; as far as they were looked for.
        differences: the first of them, in the order of their keys.
        is_complete: whether all the ranges that differ were looked into.
    """

    comparison: Comparison
    expected: int
    actual: int
    counts: Counter[str] = field(default_factory=Counter)
    differences: tuple[Difference, ...] = ()
    is_complete: bool = True

    @property
    def is_equal(self) -> bool:
        """Whether both sides hold the same."""
        return not self.counts


def reconcile(project: Project, bank: Bank, lake: Lake, *, limit: int) -> Iterator[Result]:
    """Compare each table of Silver and each mart with the bank, one after the other.

    Args:
        project: what there is.
        bank: in a transaction of its own.
        lake: Silver and Gold.
        limit: most keys that are named, of each table.

    Raises:
        ReconcileError: a table isn't there, or Spark refuses a query.
    """
    # All of them first: whether the bank has a mart's tables is tried in a savepoint, where no other query may come in.
    every = list(comparisons(project, bank, lake))
    # Spark plans one query while it runs another; Postgres's connection takes one at a time by itself.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(partial(compare, limit=limit), every)


def comparisons(project: Project, bank: Bank, lake: Lake) -> Iterator[Comparison]:
    """What is compared: each entity, then each mart whose SQL on the bank is known."""
    types = bank.types([entity.bank_table for entity in project.entities])
    for entity in project.entities:
        yield _of_entity(entity, types.get(entity.bank_table), bank, lake)
    for table in project.marts:
        if table.name in MARTS:
            yield _of_mart(table, MARTS[table.name], project, bank, lake)


def _of_entity(entity: Entity, types: dict[str, str] | None, bank: Bank, lake: Lake) -> Comparison:
    def bank_text(column: Column) -> str | None:
        if types is None or column.field not in types:
            return "null::text"
        return canonical.postgres_text(bank.quoted(column.field), column.data_type, types[column.field])

    if unbuilt := {column.name for column in entity.columns} - lake.columns(entity.silver):
        raise ReconcileError(
            f"{entity.silver} has no column {', '.join(sorted(unbuilt))}, which its model declares."
            " Build it with: dbt run"
        )
    columns, expected, actual, passed_over = _texts(entity.columns, entity.key, bank_text)
    absent = [column.field for column in columns if types is not None and column.field not in types]
    notes = [f"no column {', '.join(absent)} in the bank"] if absent else []
    undeclared = [name for name in types or () if name not in {column.field for column in entity.columns}]
    notes += [f"not declared, so not in Silver: {', '.join(undeclared)}"] if undeclared else []
    notes += [f"not compared, as Postgres writes it differently: {', '.join(passed_over)}"] if passed_over else []
    table = ".".join(map(bank.quoted, entity.bank_table))
    return Comparison(
        table=entity.silver.replace("`", ""),
        against=".".join(entity.bank_table),
        columns=columns,
        keys=len(entity.key),
        bank=None if types is None else Side(bank, table, expected),
        lake=Side(lake, f"(select * from {entity.silver} where not is_deleted)", actual),
        notes=tuple(notes) if types is not None else ("the bank has no such table",),
    )


def _of_mart(table: GoldTable, mart: Mart, project: Project, bank: Bank, lake: Lake) -> Comparison:
    known = bank.columns(mart.bank)
    # Where the bank has nothing to compare with, there must be no row: a look at the keys tells.
    of_bank = tuple(column for column in table.columns if column.name in (known or mart.key))
    columns, expected, actual, passed_over = _texts(
        of_bank, mart.key, lambda column: canonical.postgres_text(bank.quoted(column.name), column.data_type)
    )
    if known is not None:
        passed_over += [column.name for column in table.columns if column not in of_bank]
    ours = table.relation if mart.gold is None else f"({mart.gold.format_map(project.relations)})"
    notes = ["the bank has not all the tables it is made of"] if known is None else []
    notes += [f"not compared: {', '.join(passed_over)}"] if passed_over else []
    return Comparison(
        table=table.relation.replace("`", ""),
        against="SQL on the bank",
        columns=columns,
        keys=len(mart.key),
        bank=None if known is None else Side(bank, f"({mart.bank})", expected),
        lake=Side(lake, ours, actual),
        notes=tuple(notes),
    )


def _texts(
    columns: Sequence[Column], key: Sequence[str], bank_text: Callable[[Column], str | None]
) -> tuple[tuple[Column, ...], tuple[str, ...], tuple[str, ...], list[str]]:
    """The columns that can be compared, the key's first, their texts on either side, and the names of the others."""
    ordered = sorted(columns, key=lambda column: key.index(column.name) if column.name in key else len(key))
    texts = [
        (column, bank_text(column), canonical.spark_text(Lake.quoted(column.name), column.data_type))
        for column in ordered
    ]
    compared = [(column, ours, theirs) for column, ours, theirs in texts if ours is not None and theirs is not None]
    if missing := sorted(set(key) - {column.name for column, _, _ in compared}):
        raise ReconcileError(
            f"Rows can't be told apart by {', '.join(missing)}: there is no such column of a known type."
        )
    return (
        tuple(column for column, _, _ in compared),
        tuple(ours for _, ours, _ in compared),
        tuple(theirs for _, _, theirs in compared),
        [column.name for column, ours, theirs in texts if ours is None or theirs is None],
    )


def compare(comparison: Comparison, limit: int) -> Result:
    """Compare both halves: a checksum for each range of keys, then the keys of the ranges that differ."""
    keys = comparison.keys
    expected, actual = (_checksums(side, keys) for side in (comparison.bank, comparison.lake))
    rows = {name: expected.get(name, (0, 0))[0] + actual.get(name, (0, 0))[0] for name in expected | actual}
    differing = sorted(name for name in rows if expected.get(name) != actual.get(name))
    in_bank, here = (sum(count for count, _ in checksums.values()) for checksums in (expected, actual))
    if not differing:
        return Result(comparison, in_bank, here)

    looked_into = next(_in_parts(differing, rows))
    kinds = _kinds(*(_row_digests(side, keys, looked_into) for side in (comparison.bank, comparison.lake)))
    in_order = sorted(kinds.items(), key=lambda item: _by_number(item[0]))
    differences = [Difference(key, kind) for key, kind in in_order]
    return Result(
        comparison,
        in_bank,
        here,
        counts=Counter(kinds.values()),
        differences=tuple(_with_columns(comparison, differences[:limit])),
        is_complete=len(looked_into) == len(differing),
    )


def surplus(comparison: Comparison) -> Iterator[list[Key]]:
    """The keys that only Silver or Gold has, all of them, some at a time; the rows' other values are not looked at."""
    keys = comparison.keys
    sides = [side and replace(side, texts=side.texts[:keys]) for side in (comparison.bank, comparison.lake)]
    expected, actual = (_checksums(side, keys) for side in sides)
    differing = sorted(name for name in actual if expected.get(name) != actual[name])
    for part in _in_parts(differing, {name: count for name, (count, _) in actual.items()}):
        in_bank, here = ({key for key, _ in _row_digests(side, keys, part)} for side in sides)
        if here - in_bank:
            yield sorted(here - in_bank, key=_by_number)


def _in_parts(names: Sequence[str], rows: Mapping[str, int]) -> Iterator[list[str]]:
    """Ranges by their names, in parts of LOOKED_INTO rows at the most, or of one range."""
    part: list[str] = []
    so_far = 0
    for name in names:
        so_far += rows[name]
        if part and so_far > LOOKED_INTO:
            yield part
            part, so_far = [], rows[name]
        part.append(name)
    if part:
        yield part


def _hashed(side: Side, keys: int) -> str:
    """SQL for each row's texts (c0, c1, …), what the MD5 of its key begins with (`part`), and its digest."""
    store, names = side.store, [f"c{place}" for place in range(len(side.texts))]
    of_key, of_row = (f"concat({', '.join(map(canonical.framed, part))})" for part in (names[:keys], names))
    texts = ", ".join(f"{text} as {name}" for text, name in zip(side.texts, names, strict=True))
    return (
        f"with texts as (select {texts} from {side.relation} as compared),"
        f" hashed as (select *, left({store.digest(of_key)}, {RANGE_DIGITS}) as part,"
        f" {store.number(store.digest(of_row))} as digest from texts) "
    )


def _checksums(side: Side | None, keys: int) -> dict[str, tuple[int, int]]:
    """The number of rows and the sum of their digests, by range."""
    if side is None:
        return {}
    query = _hashed(side, keys) + "select part, count(*), sum(digest) from hashed group by part"
    return {part: (count, int(total)) for part, count, total in side.store.rows(query)}


def _row_digests(side: Side | None, keys: int, ranges: Sequence[str]) -> list[tuple[Key, int]]:
    """Key and digest of each row in some ranges."""
    if side is None:
        return []
    names = ", ".join(f"c{place}" for place in range(keys))
    parts = ", ".join(f"'{name}'" for name in ranges)
    query = _hashed(side, keys) + f"select {names}, digest from hashed where part in ({parts})"
    return [(tuple(row[:keys]), int(row[keys])) for row in side.store.rows(query)]


def _kinds(expected: list[tuple[Key, int]], actual: list[tuple[Key, int]]) -> dict[Key, str]:
    """What is wrong with each key that isn't right."""
    bank, lake = dict(expected), dict(actual)
    times = Counter(key for key, _ in actual)
    kinds = {}
    for key in bank.keys() | lake.keys():
        if key not in lake:
            kinds[key] = "missing"
        elif key not in bank or times[key] > 1:
            kinds[key] = "too many"
        elif bank[key] != lake[key]:
            kinds[key] = "different"
    return kinds


def _with_columns(comparison: Comparison, differences: Sequence[Difference]) -> Iterator[Difference]:
    """The same, with the columns in which rows differ."""
    wanted = [difference.key for difference in differences if difference.kind == "different"]
    bank, lake = (_values(side, comparison.keys, wanted) for side in (comparison.bank, comparison.lake))
    for difference in differences:
        if difference.kind != "different" or difference.key not in bank or difference.key not in lake:
            yield difference
            continue
        values = zip(comparison.columns, bank[difference.key], lake[difference.key], strict=True)
        yield Difference(difference.key, difference.kind, tuple(value for value in values if value[1] != value[2]))


def _values(side: Side | None, keys: int, wanted: Sequence[Key]) -> dict[Key, Row]:
    """The texts of some rows, by key; a key with a NULL in it is not found."""
    if side is None or not wanted:
        return {}
    rows = [
        " and ".join(f"c{place} = {side.store.literal(text or '')}" for place, text in enumerate(key)) for key in wanted
    ]
    texts = ", ".join(f"{text} as c{place}" for place, text in enumerate(side.texts))
    query = f"with texts as (select {texts} from {side.relation} as compared) select * from texts"
    return {tuple(row[:keys]): row for row in side.store.rows(f"{query} where {' or '.join(rows)}")}


def _by_number(key: Key) -> tuple[tuple[int, Decimal, str], ...]:
    """Numbers by their value, before texts by their letters, before NULL."""
    return tuple(
        (2, Decimal(0), "")
        if text is None
        else (0, Decimal(text), "")
        if text.removeprefix("-").isdecimal()
        else (1, Decimal(0), text)
        for text in key
    )
