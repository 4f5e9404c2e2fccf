"""dbt in a process that stays: its project is parsed once, and it remembers what its last run knew of each table."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt.artifacts.resources.types import NodeType
from dbt.artifacts.schemas.results import NodeStatus
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt.parser.manifest import extended_mashumaro_encoder, extended_mashumuro_decoder

from live.errors import LiveError

# What the project's macros call the memory (macros/runs/progress.sql).
MEMORY = "financial_insights_memory"

# Materializations that keep files which compaction is for.
STORED = {"incremental", "snapshot"}
FAILED = {NodeStatus.Error, NodeStatus.Fail, NodeStatus.RuntimeErr, NodeStatus.PartialSuccess}
# dbt writes its log file, and nothing to standard output: this process says in lines of its own what happened.
QUIET = ["--log-level", "none", "--log-level-file", "info", "--no-send-anonymous-usage-stats"]


@dataclass(frozen=True)
class Outcome:
    """How a command of dbt ended.

    Attributes:
        seconds: how long it took.
        troubles: one line for each thing that failed; empty if nothing did.
        is_complete: whether all that was asked for was done. A data test that fails is a trouble of a complete command.
        failed_tables: the Bronze tables that a failed model reads, directly or through others.
    """

    seconds: float
    troubles: list[str]
    is_complete: bool
    failed_tables: frozenset[str] = frozenset()


class Builder:
    """Runs dbt's commands in this process, one at a time: dbt's runner is not safe for threads."""

    def __init__(self, project: Path, options: Sequence[str] = ()) -> None:
        """Parse the project.

        Args:
            project: folder of dbt_project.yml.
            options: options of dbt for each command, such as `--target`.

        Raises:
            LiveError: dbt can't parse it.
        """
        self._options = [*("--project-dir", str(project), "--profiles-dir", str(project)), *options]
        parsed = dbtRunner().invoke([*QUIET, "parse", *self._options])
        if not isinstance(parsed.result, Manifest):
            raise LiveError(f"dbt can't read its project: {first_line(parsed.exception)}. Look at: dbt parse")
        # A run changes the manifest: dbt writes ephemeral models into the SQL of others once. So each gets a copy.
        self._packed = parsed.result.to_msgpack(extended_mashumaro_encoder)
        self._memory: dict[str, Any] = {}
        self._sources = {
            source.identifier: f"source:{source.source_name}.{source.name}+"
            for source in parsed.result.sources.values()
        }
        parsed.result.build_parent_and_child_maps()  # type: ignore[no-untyped-call]
        self._parents = parsed.result.parent_map
        self._names = {source.unique_id: source.identifier for source in parsed.result.sources.values()}
        nodes = list(parsed.result.nodes.values())
        self.data_tests = sorted(node.name for node in nodes if node.resource_type is NodeType.Test)
        self.tables = sorted(
            node.name
            for node in [*nodes, *parsed.result.sources.values()]
            if node.resource_type is NodeType.Source or getattr(node.config, "materialized", "") in STORED
        )
        self.snapshots = sorted(node.name for node in nodes if node.resource_type is NodeType.Snapshot)

    def build(self, tables: Iterable[str] | None = None) -> Outcome:
        """Build what reads these Bronze tables; everything if None. A table that no model reads is passed over."""
        if tables is None:
            return self.command("run")
        selected = [self._sources[name] for name in tables if name in self._sources]
        return self.command("run", "--select", *selected) if selected else Outcome(0.0, [], True)

    def command(self, *words: str) -> Outcome:
        """Run one command of dbt."""
        began = time.monotonic()
        manifest = Manifest.from_msgpack(self._packed, decoder=extended_mashumuro_decoder)
        manifest.build_flat_graph()  # type: ignore[no-untyped-call]
        manifest.flat_graph[MEMORY] = self._memory
        done = dbtRunner(manifest=manifest).invoke([*QUIET, "--no-write-json", *words, *self._options])
        broken = broken_in(done.result)
        failed = self._sources if done.exception is not None else self._bronze_behind(broken)
        is_complete = done.exception is None and not broken
        return Outcome(time.monotonic() - began, troubles_of(done), is_complete, frozenset(failed))

    def _bronze_behind(self, unique_ids: Iterable[str]) -> set[str]:
        """The Bronze tables that some nodes read, directly or through others."""
        waiting, seen = list(unique_ids), set[str]()
        while waiting:
            unique_id = waiting.pop()
            if unique_id not in seen:
                seen.add(unique_id)
                waiting.extend(self._parents.get(unique_id, []))
        return {self._names[unique_id] for unique_id in seen & self._names.keys()}

    def forget(self) -> None:
        """Have the next run read all tables. The size that is remembered of a table only grows, and gets less exact."""
        self._memory.clear()


def troubles_of(done: dbtRunnerResult) -> list[str]:
    """One line for each thing that failed in a command."""
    if done.exception is not None:
        return [first_line(done.exception)]
    results = getattr(done.result, "results", None) or []
    return [f"{result.node.name}: {told(result)}" for result in results if result.status in FAILED]


def told(result: Any) -> str:
    """Why one node failed. A stale source has an age and no message."""
    age = getattr(result, "age", None)
    return first_line(result.message) if age is None else f"its newest message is {age / 3600:.1f} hours old"


def broken_in(result: Any) -> list[str]:
    """Unique ids of what was not done. A data test that failed was done. An operation's result has no node."""
    results = getattr(result, "results", None) or []
    broken = [one for one in results if one.status in FAILED - {NodeStatus.Fail}]
    return [(getattr(one, "node", None) or one).unique_id for one in broken]


def first_line(error: object) -> str:
    """The first line of an error that says something: dbt's begin with the kind of error and the model's name."""
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Runtime Error", "Compilation Error", "Database Error"))]
    return (told or lines or ["no reason was given"])[0][:500]
