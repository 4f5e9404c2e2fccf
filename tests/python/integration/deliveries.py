"""The orders and batchings in which Kafka could deliver changes that it was given in one order. Pure.

What is on a partition lands in its order; one partition may be ahead of another. The changes of a row are on one
partition, or on two after partitions were added to the topic. After a crash of the connector some come once more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

# Micro-batches of ingestion before each run of dbt, which makes one batch of them.
LANDINGS = 2


@dataclass(frozen=True)
class Place:
    """Where a change stands: micro-batch, partition, and offset, which no other partition has."""

    change: int
    landing: int
    partition: int
    offset: int

    @property
    def batch(self) -> int:
        return self.landing // LANDINGS

    def __str__(self) -> str:
        return f"change {self.change} in run {self.batch + 1} (partition {self.partition}, offset {self.offset})"


def of_one_row(count: int, batches: int, rng: random.Random) -> Iterator[list[Place]]:
    """Every delivery of a row's changes in some batches, from one partition or two; as many with resent ones.

    Args:
        count: how many changes.
        batches: in how many at most.
        rng: which micro-batch of a batch, and what is sent again.
    """
    for switch in range(1, count + 1):
        before, after = list(range(switch)), list(range(switch, count))
        for old in combinations_with_replacement(range(batches), len(before)):
            for new in combinations_with_replacement(range(batches), len(after)):
                yield [*_partition(0, before, _within(old, rng)), *_partition(1, after, _within(new, rng))]
                # The connector crashes at some time after it began with the new partition, and goes back some changes.
                crash = rng.randint(switch, count)
                resent = [*range(switch, crash), *range(rng.randint(switch, crash), crash), *range(crash, count)]
                later = sorted(rng.choices(range(batches * LANDINGS), k=len(resent)))
                yield first_sightings([*_partition(0, before, _within(old, rng)), *_partition(1, resent, later)])


def of_many_rows(rows: Sequence[object], batches: int, rng: random.Random) -> list[Place]:
    """A delivery at random of the changes of several rows.

    Args:
        rows: the row of each change, in the order of the changes.
        batches: in how many at most.
        rng: where they are and when they land.
    """
    growth = rng.randint(0, len(rows))
    partition_of = {row: (rng.randint(0, 1), rng.randint(2, 3)) for row in rows}
    partitions: dict[int, list[int]] = {}
    for change, row in enumerate(rows):
        partitions.setdefault(partition_of[row][change >= growth], []).append(change)
    places = []
    for partition, changes in partitions.items():
        # Mostly a partition is read to its end in a few pieces.
        landings = rng.choices(range(batches * LANDINGS), k=rng.randint(1, batches * LANDINGS))
        places += _partition(partition, changes, sorted(rng.choices(landings, k=len(changes))))
    return places


def first_sightings(places: Sequence[Place]) -> list[Place]:
    """What is left when a change counts once: where it stood first, as the base models have it."""
    first: dict[int, Place] = {}
    for place in sorted(places, key=lambda place: (place.landing, place.offset)):
        first.setdefault(place.change, place)
    return list(first.values())


def _within(batches: Sequence[int], rng: random.Random) -> list[int]:
    """A micro-batch within each batch, in order."""
    return sorted(batch * LANDINGS + rng.randrange(LANDINGS) for batch in batches)


def _partition(partition: int, changes: Sequence[int], landings: Sequence[int]) -> list[Place]:
    return [
        Place(change, landing, partition, offset * 10 + partition)
        for offset, (change, landing) in enumerate(zip(changes, landings, strict=True))
    ]
