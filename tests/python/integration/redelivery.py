"""Decoded changes of a trial, put to the staging model in the orders and batchings in which Kafka could deliver them.

Each variant has keys of its own, so that thousands share the runs of dbt.
"""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from deliveries import LANDINGS, Place, of_many_rows, of_one_row
from histories import SPAN
from pyspark.sql import functions as F
from trial import LETTERS, Trial, add_version, as_text, differing_versions, selected, versions_in
from truth import Rows

HISTORY = "delivered_history"
DELIVERED = dataclasses.replace(LETTERS, name="delivered", histories={HISTORY: None})

# A row as it must be: its values, or None for one that is deleted.
State = Mapping[str, Any] | None


@dataclass(frozen=True)
class Variant:
    """Changes in one delivery, and what must come of it.

    Attributes:
        changes: rows of the base model, in the order in which they happened.
        places: where each stands.
        wanted: by key.
        versions: of each key's row, in order.
    """

    changes: Sequence[Mapping[str, Any]]
    places: Sequence[Place]
    wanted: Mapping[int, State]
    versions: Mapping[int, Sequence[State]]

    def __str__(self) -> str:
        told = [(place, self.changes[place.change]) for place in sorted(self.places, key=lambda place: place.change)]
        return "\n".join(f"  {place}: {shape_of(change)} of {change['id']}" for place, change in told)


class Redelivery:
    """Variants on the trial's lane, which has the table `delivered` for them.

    Args:
        trial: ended.
        batches: runs of dbt.
        shapes: of how many kinds of a row's history every delivery is tried.
        samples: how many deliveries of all of a history's changes are tried.
    """

    def __init__(self, trial: Trial, *, batches: int, shapes: int, samples: int) -> None:
        self.trial = trial
        self.batches = batches
        self.lane = trial.lane
        self.rng = random.Random(f"redelivery {trial.plan.seed}")
        self.base = self.lane.stack.rows(
            f"select id, _cdc_change_id, _cdc_op, _cdc_lsn, _cdc_unavailable from {self.lane.silver}.{LETTERS.base} "
            "order by _ingested_at, _cdc_offset"
        )
        self.audit = self.lane.sql(f"select op, {selected(LETTERS, '(told).')} from audit_letters order by sequence")
        # Of all that emptied the table only the middle one is delivered, or hardly a row would be left to look at.
        places = sorted(row["_cdc_lsn"] for row in self.base)
        emptied = [row for row in self.base if row["_cdc_op"] == "t"]
        self.emptied = sorted(emptied, key=lambda row: abs(places.index(row["_cdc_lsn"]) - len(places) // 2))[:1]
        self.variants = [*self.of_rows(shapes), *self.of_histories(samples)]

    def states(self) -> dict[int, list[tuple[Mapping[str, Any], State]]]:
        """Each key's changes, with the state that Postgres was in after it."""
        told: dict[int, Rows] = defaultdict(list)
        found: dict[int, list[tuple[Mapping[str, Any], State]]] = defaultdict(list)
        for row in self.audit:
            if row["op"] != "t":
                told[row["id"]].append(row)
        for change in self.base:
            if change["_cdc_op"] != "t":
                row = told[change["id"]].pop(0)
                found[change["id"]].append((change, None if row["op"] == "d" else row))
        return found

    def after_all(self, change: Mapping[str, Any], state: State) -> State:
        """A state, unless the table was emptied after it."""
        return None if any(reset["_cdc_lsn"] > change["_cdc_lsn"] for reset in self.emptied) else state

    def versions(self, states: Sequence[tuple[Mapping[str, Any], State]]) -> Sequence[State]:
        """The versions that a row's changes make, with the emptyings among them."""
        told = [(change["_cdc_lsn"], change["_cdc_op"], state) for change, state in states]
        told += [(row["_cdc_lsn"], "t", None) for row in self.emptied]
        found: list[State] = []
        for _, op, state in sorted(told, key=lambda one: one[0]):
            if op != "t" or found:
                add_version(found, "d" if op == "t" else op, None if state is None else values_of(state))
        return found

    def of_rows(self, shapes: int) -> Iterator[Variant]:
        """Every delivery of some stretches of rows' histories, each of another shape."""
        stretches = {}
        for states in self.states().values():
            for start, length in product(range(len(states)), range(2, 6)):
                stretch = states[start : start + length]
                changes = [change for change, _ in stretch]
                # It begins with a whole row, and is told by this key alone.
                is_whole = len(stretch) == length and changes[0]["_cdc_op"] in "cr"
                if is_whole and not any(change["_cdc_op"] == "c" and change["_cdc_unavailable"] for change in changes):
                    stretches.setdefault(self.shape(changes), stretch)
        for shape in self.some_of(stretches, shapes):
            changes = [change for change, _ in stretches[shape]]
            wanted = {changes[-1]["id"]: self.after_all(*stretches[shape][-1])}
            versions = {changes[-1]["id"]: self.versions(stretches[shape])}
            for places in of_one_row(len(changes), self.batches, self.rng):
                yield Variant(changes, places, wanted, versions)

    def some_of(self, stretches: Mapping[str, Any], count: int) -> list[str]:
        """Shapes of which most end in a row."""
        ends = {shape: self.after_all(*stretch[-1]) is None for shape, stretch in stretches.items()}
        shuffled = self.rng.sample(sorted(stretches), len(stretches))
        deleted = [shape for shape in shuffled if ends[shape]][: count // 4]
        return deleted + [shape for shape in shuffled if not ends[shape]][: count - len(deleted)]

    def shape(self, changes: Sequence[Mapping[str, Any]]) -> str:
        """What is alike in stretches that put the same question: kinds of changes, and the emptyings among them."""
        told = sorted([*changes, *self.emptied], key=lambda change: change["_cdc_lsn"])
        first = told.index(changes[0])
        return ", ".join(shape_of(change) for change in told[first:])

    def of_histories(self, samples: int) -> Iterator[Variant]:
        """Deliveries at random of everything that happened to some histories' rows."""
        states = self.states()
        for number in self.trial.histories:
            keys = [key for key in states if key // SPAN == number]
            changes = [change for change in self.base if change["id"] in keys]
            wanted = {key: self.after_all(*states[key][-1]) for key in keys}
            versions = {key: self.versions(states[key]) for key in keys}
            for _ in range(samples):
                places = of_many_rows([change["id"] for change in changes], self.batches, self.rng)
                yield Variant(changes, places, wanted, versions)

    def run(self) -> dict[int, str]:
        """Deliver all variants, a run of dbt for each batch: what is wrong, by the variant's number."""
        resets = [(row["_cdc_change_id"], 0, self.rng.randrange(self.batches * LANDINGS)) for row in self.emptied]
        for batch in range(self.batches):
            rows = [
                (variant.changes[place.change]["_cdc_change_id"], number, place.partition, place.offset, place.landing)
                for number, variant in enumerate(self.variants, start=1)
                for place in variant.places
                if place.batch == batch
            ]
            # What empties the table has no key, and may be on any partition; it is there once, for all variants.
            rows += [
                (change, number, 7, offset, landing)
                for offset, (change, number, landing) in enumerate(resets)
                if landing // LANDINGS == batch
            ]
            self.deliver(rows)
            self.lane.build("run", "--select", DELIVERED.staging, HISTORY)
        return self.wrong()

    def deliver(self, rows: Sequence[tuple[str, int, int, int, int]]) -> None:
        """Append rows to the base model's table, with a run number above the staging model's last."""
        spark = self.lane.stack.spark
        staging = f"{self.lane.silver}.{DELIVERED.staging}"
        known = spark.table(staging).agg(F.max("_run_number")).first() if spark.catalog.tableExists(staging) else None
        names = "change string, variant bigint, partition int, offset bigint, landing int"
        changes = spark.table(f"{self.lane.silver}.{LETTERS.base}")
        delivered = changes.join(spark.createDataFrame(list(rows), names), F.expr("_cdc_change_id = change"))
        changed = {
            "id": F.expr(f"id % {SPAN} + variant * {SPAN}"),
            # Their digests stand for large values, so that many rows are few bytes.
            "body": F.expr("md5(body)"),
            "attachment": F.expr("cast(md5(attachment) as binary)"),
            "_cdc_change_id": F.expr("concat(_cdc_change_id, ' ', variant)"),
            "_cdc_tx_id": F.expr("_cdc_tx_id + variant * 10000000"),
            "_cdc_partition": F.col("partition"),
            "_cdc_offset": F.col("offset"),
            "_cdc_reset": F.expr("if(_cdc_op = 't', _cdc_reset, null)"),
            "_cdc_topic_life": F.lit(1),
            "_run_number": F.lit((known[0] if known else 0) + 1).cast("bigint"),
        }
        delivered = delivered.withColumns(changed).select(*changes.columns)
        delivered.write.format("delta").mode("append").saveAsTable(f"{self.lane.silver}.{DELIVERED.base}")

    def wrong(self) -> dict[int, str]:
        """What is wrong, by the variant's number."""
        silver = self.lane.stack.rows(
            "select id, title, body, cast(attachment as string) as attachment, pages, is_deleted, _cdc_unavailable "
            f"from {self.lane.silver}.{DELIVERED.staging}"
        )
        rows = {row["id"]: row for row in silver}
        found: dict[int, list[str]] = defaultdict(list)
        for number, variant in enumerate(self.variants, start=1):
            for key, wanted in variant.wanted.items():
                got = rows.pop(key % SPAN + number * SPAN)
                if text := different(got, wanted):
                    found[number].append(f"key {key}: {text}")
        assert not rows, "keys that were never given"
        for (key,), text in self.wrong_versions().items():
            found[key // SPAN].append(text)
        return {number: "\n".join([*texts, str(self.variants[number - 1])]) for number, texts in found.items()}

    def wrong_versions(self) -> dict[tuple[Any, ...], str]:
        """The keys whose versions aren't those that there were."""
        columns = "id, title, body, cast(attachment as string) as attachment, pages, version_number, is_current"
        history = self.lane.stack.rows(
            f"select {columns}, valid_from, valid_to, is_deleted, _cdc_unavailable "
            f"from {self.lane.silver}.{HISTORY} order by version_number"
        )
        wanted = {
            (key % SPAN + number * SPAN,): list(versions)
            for number, variant in enumerate(self.variants, start=1)
            for key, versions in variant.versions.items()
        }
        got = {
            key: [state and {name: value for name, value in state.items() if name != "id"} for state in versions]
            for key, versions in versions_in(DELIVERED, history).items()
        }
        return differing_versions(wanted, got)


def values_of(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: as_text(row[name]) for name in LETTERS.columns if name != "id"}


def shape_of(change: Mapping[str, Any]) -> str:
    return " without ".join([change["_cdc_op"], *sorted(change["_cdc_unavailable"] or [])])


def different(got: Mapping[str, Any], wanted: State) -> str:
    """How a row differs from the state it must be in; empty when it doesn't."""
    if got["is_deleted"] != (wanted is None):
        return "it is deleted" if wanted else "it is alive"
    if wanted is None:
        return ""
    wrong = [name for name in LETTERS.columns if name != "id" and as_text(got[name]) != as_text(wanted[name])]
    unknown = [f"{name} is taken for unknown" for name in got["_cdc_unavailable"] or []]
    return ", ".join([*(f"{name} is {got[name]!r} and not {wanted[name]!r}" for name in wrong), *unknown])
