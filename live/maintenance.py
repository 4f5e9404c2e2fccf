"""What is done beside the builds: snapshots, data tests, freshness, compaction and VACUUM, a few seconds at a time."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator

from live.builder import Builder, Outcome

# A round begins when this many builds have run since the last one.
BUILDS_PER_ROUND = 50
# It also begins, or goes on, when nothing has been built for so long.
QUIET_SECONDS = 30.0
# While messages keep coming, it goes on by one step after each so many builds.
BUILDS_PER_STEP = 5
# dbt runs as many tests at once as it has threads.
TESTS_PER_STEP = 4
TABLES_PER_STEP = 4

Step = list[str]


class Maintenance:
    """Rounds of small steps. Each is a command of dbt of a few seconds: a build that becomes due meanwhile waits."""

    def __init__(self, builder: Builder, tables: Iterable[str]) -> None:
        """Begin with nothing to do.

        Args:
            builder: runs the steps.
            tables: names of the tables whose files are compacted and removed; none where the platform does it.
        """
        self._builder = builder
        self._tables = list(tables)
        self._steps: deque[Step] = deque()
        self._builds_since_round = 0
        self._builds_since_step = 0
        self._last_build = time.monotonic()

    def built(self) -> None:
        """A build has run."""
        self._builds_since_round += 1
        self._builds_since_step += 1
        self._last_build = time.monotonic()

    def is_due(self) -> bool:
        """Whether a step should be done now."""
        is_quiet = time.monotonic() - self._last_build >= QUIET_SECONDS
        if not self._steps and self._builds_since_round >= (1 if is_quiet else BUILDS_PER_ROUND):
            self._steps.extend(self._round())
            self._builds_since_round = 0
        return bool(self._steps) and (is_quiet or self._builds_since_step >= BUILDS_PER_STEP)

    def step(self) -> Outcome:
        """Do the next step."""
        self._builds_since_step = 0
        outcome = self._builder.command(*self._steps.popleft())
        if not self._steps:
            self._builder.forget()
        return outcome

    def _round(self) -> Iterator[Step]:
        """The steps of a round.

        VACUUM comes before compaction. A compacted table has a version that is not published, and VACUUM skips such a
        table.
        """
        yield ["run-operation", "forget_publications"]
        for operation in ("vacuum_tables", "compact_tables"):
            for some in batched_lists(self._tables, TABLES_PER_STEP):
                yield ["run-operation", operation, "--args", json.dumps({"names": some})]
        for name in self._builder.snapshots:
            yield ["snapshot", "--select", name]
        yield ["source", "freshness"]
        for some in batched_lists(self._builder.data_tests, TESTS_PER_STEP):
            yield ["test", "--select", *some]


def batched_lists(names: list[str], size: int) -> Iterator[list[str]]:
    """The names, so many at a time."""
    for start in range(0, len(names), size):
        yield names[start : start + size]
