"""Random histories go through the real chain: Silver is what Postgres holds, and no change is lost, twice or wrong.

`make fuzz HISTORIES=200 SEED=1` plays more of them, longer; `HISTORY=17` plays one alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from histories import plan
from key_moves import TABLES as MOVED
from lanes import lane
from pipeline import Stack
from redelivery import DELIVERED, Redelivery
from trial import LETTERS, PAYMENTS, Trial

SEED = int(os.environ.get("SEED", "1"))
COUNT = int(os.environ.get("HISTORIES", "20"))
ROUNDS = int(os.environ.get("ROUNDS", "2"))
ALONE = os.environ.get("HISTORY")


@pytest.fixture(scope="module")
def trial(stack: Stack, background: None) -> Iterator[Trial]:
    with lane(stack, "histories", [LETTERS, PAYMENTS, DELIVERED, *MOVED]) as one:
        # Number 0 is nobody's: it has the rows that are there while a table is emptied.
        numbers = [int(ALONE)] if ALONE else list(range(1, COUNT + 1))
        trial = Trial(one, plan(SEED, ROUNDS), numbers)
        trial.run()
        yield trial


def test_silver_and_its_changes_are_what_happened_in_postgres(trial: Trial) -> None:
    print(trial.figures)
    assert not trial.differences, trial.report()


def test_rows_that_move_to_keys_of_others_are_what_postgres_holds(trial: Trial) -> None:
    wrong = trial.moves.differences()
    assert not wrong, "\n".join(f"{case}: {text}" for case, text in wrong.items())


def test_every_order_and_batching_of_kafka_ends_in_the_same_state(trial: Trial) -> None:
    redelivery = Redelivery(trial, batches=ROUNDS, shapes=15, samples=15)
    wrong = redelivery.run()
    print(f"{len(redelivery.variants)} deliveries: {len(wrong)} end wrong")
    assert not wrong, "\n\n".join(list(wrong.values())[:5])
