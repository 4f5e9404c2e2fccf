"""The same project on dbt-databricks, beside dbt-spark: the same Bronze, other schemas, the tests' own warehouse."""

from __future__ import annotations

import bisect
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pipeline import PROJECT, Commits, Stack, wait_for
from warehouse import ONLY_A_WORKSPACE, Warehouse

# Its schemas are parity_silver and parity_gold.
PREFIX = "parity"

# For grants.
READERS = '{silver_readers: engineers, gold_readers: "analysts,data scientists"}'

# These differ by the runs' times alone. `dbt_scd_id` is a hash of a key and such a time.
TIMES_OF_RUNS = {
    "_loaded_at",
    "dbt_updated_at",
    "dbt_valid_from",
    "dbt_valid_to",
    "last_run_at",
    "run_started_at",
    "valid_from",
    "valid_to",
}
# Run numbers differ too: one target has runs that the other does not have.
NOT_COMPARED = {"dbt_scd_id", "_run_number", "run_number", "table_versions", "published_at"}


@dataclass(frozen=True)
class Relation:
    """A model, snapshot or seed that has a table or view."""

    name: str
    kind: str
    schema: str


@dataclass
class Databricks:
    """The project in target `dev`.

    Attributes:
        stack: whose Bronze and Spark it uses.
        warehouse: what it takes for Databricks.
        outcome: what was compared: by run and relation, the number of rows, or how the two differ.
        ends: when each of these runs was over.
        idle: every table's newest commit before and after a run with nothing new.
    """

    stack: Stack
    warehouse: Warehouse
    outcome: dict[str, dict[str, int | str]] = field(default_factory=dict)
    ends: list[datetime] = field(default_factory=list)
    idle: tuple[Commits, Commits] = ({}, {})

    @property
    def work(self) -> Path:
        return self.stack.work / PREFIX

    def environment(self) -> dict[str, str]:
        """What leads there, with a personal token: the project's own profile, and parameters of the connection."""
        self.work.mkdir(exist_ok=True)
        profiles = yaml.safe_load((PROJECT / "profiles.yml").read_text())
        for target in ("dev", "prod"):
            profiles["financial_insights"]["outputs"][target]["connection_parameters"] = (
                self.warehouse.connection_parameters
            )
        (self.work / "profiles.yml").write_text(yaml.safe_dump(profiles))
        return {
            **self.warehouse.environment,
            "DBT_ENV_SECRET_DATABRICKS_TOKEN": self.warehouse.token,
            "DBT_PROFILES_DIR": str(self.work),
            "DBT_TARGET": "dev",
            "DBT_SCHEMA": PREFIX,
        }

    def dbt(self, *words: str, folder: Path = PROJECT, work: Path | None = None) -> None:
        """Run dbt, which must succeed."""
        words = (*words, "--vars", READERS)
        self.stack.dbt(*words, work=work or self.work, folder=folder, environment=self.environment())

    def try_dbt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run dbt, which may fail."""
        return self.stack.run("dbt.cli.main", *words, *self._folders, environment=self.environment())

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start dbt, and suspend it as soon as it is in the table of runs."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dbt.cli.main", *words, *self._folders],
            cwd=PROJECT,
            env={**self.stack.clean_environment(), **self.stack.environment, **self.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for(self.unfinished_runs, "dbt has begun")
        process.send_signal(signal.SIGSTOP)
        return process

    @property
    def _folders(self) -> tuple[str, ...]:
        return ("--no-use-colors", "--target-path", str(self.work / "alone"), "--log-path", str(self.work / "alone"))

    def unfinished_runs(self) -> list[dict[str, Any]]:
        """The runs that have begun and not ended, with their writer."""
        return self.stack.rows(
            f"select min(writer) as writer from {PREFIX}_silver.dbt_runs"
            " group by invocation_id having not bool_or(is_end)"
        )

    def run_again(self) -> None:
        """Run dbt with nothing new."""
        before = self.newest_commits()
        self.dbt("run")
        self.idle = (before, self.newest_commits())

    def newest_commits(self) -> Commits:
        """The newest commits of all tables but the table of runs."""
        commits = self.stack.newest_commits(f"{PREFIX}_silver", f"{PREFIX}_gold")
        del commits[f"{PREFIX}_silver.dbt_runs"]
        return commits

    def compare(self, run: str) -> None:
        """Compare every table and view of both targets, and keep what came out as a run's."""
        self.outcome[run] = self.differences()
        self.ends.append(datetime.now(UTC))

    def differences(self) -> dict[str, int | str]:
        """By name of each relation: how many rows both targets' have, or how the two differ."""
        every = list(relations(read_artifact(self.stack.work, "manifest")))
        ours, theirs = (look(self.stack, every, prefix, self.ends) for prefix in ("", f"{PREFIX}_"))
        return {one.name: difference(ours[one.name], theirs[one.name]) for one in every}


@dataclass(frozen=True)
class Table:
    """A relation's columns with their types, in their order, and its rows in one that both targets have."""

    columns: list[tuple[str, str]]
    rows: list[str]


# How a row is written, so that nothing of it is lost: to_json would leave out NULLs, and cut times to milliseconds.
AS_TEXT = "map('ignoreNullFields', 'false', 'timestampFormat', 'yyyy-MM-dd HH:mm:ss.SSSSSS')"


def look(stack: Stack, every: Sequence[Relation], prefix: str, ends: Sequence[datetime]) -> dict[str, Table]:
    """One target's tables by name. For the time of a run stands how many of the compared runs were over by then."""
    over = [f"{end:%Y-%m-%d %H:%M:%S.%f}" for end in ends]
    spark = stack.spark

    def table(one: Relation) -> Table:
        rows = spark.table(f"{prefix}{one.schema}.{one.name}")
        told = []
        for row in rows.selectExpr(f"to_json(struct(*), {AS_TEXT}) as text").toArrow().to_pylist():
            values = {column: value for column, value in json.loads(row["text"]).items() if column not in NOT_COMPARED}
            for column in TIMES_OF_RUNS & values.keys():
                values[column] = values[column] and bisect.bisect(over, values[column])
            told.append(json.dumps(values))
        return Table(rows.dtypes, sorted(told))

    # To plan one statement for all of them takes longer than many at once.
    with ThreadPoolExecutor(4) as pool:
        return dict(zip([one.name for one in every], pool.map(table, every), strict=True))


def difference(ours: Table, theirs: Table) -> int | str:
    """How many rows two equal tables have, or how they differ."""
    if ours.columns != theirs.columns:
        only = sorted(set(ours.columns) ^ set(theirs.columns))
        return f"columns or types: {only or 'in another order'}"
    if ours.rows != theirs.rows:
        mine, other = set(ours.rows), set(theirs.rows)
        one = next(iter(sorted(mine - other) or sorted(other - mine)), "as often as not")
        return f"{len(mine - other)} rows are only in local, {len(other - mine)} only in dev, such as {one}"
    return len(ours.rows)


def relations(manifest: Mapping[str, Any]) -> Iterator[Relation]:
    """All that dbt makes a table or view of, in the order of its name."""
    for node in sorted(manifest["nodes"].values(), key=lambda node: node["name"]):
        materialized = node["config"].get("materialized")
        if node["resource_type"] in ("model", "snapshot", "seed") and materialized != "ephemeral":
            yield Relation(node["alias"], materialized, node["schema"])


def read_artifact(work: Path, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((work / "target" / f"{name}.json").read_text())
    return read


def report(databricks: Databricks, version: str) -> list[str]:
    """What was compared and how it came out, for people to read."""
    runs = list(databricks.outcome)
    width = max(len(name) for told in databricks.outcome.values() for name in told)
    lines = [
        f"dbt-databricks {version} (dev) against dbt-spark (local), on the same Bronze: rows, where all are equal",
        "",
    ]
    lines.append(" " * width + "".join(f"  {run:>14}" for run in runs))
    for name in databricks.outcome[runs[0]]:
        told = [databricks.outcome[run][name] for run in runs]
        cells = [f"{one:,}" if isinstance(one, int) else "DIFFERS" for one in told]
        lines.append(f"{name:<{width}}" + "".join(f"  {cell:>14}" for cell in cells))
    journal = databricks.warehouse.journal
    asked = sum((journal.carried_out + journal.in_other_words).values())
    lines += ["", f"{asked:,} statements. Only a workspace can carry out:"]
    for kind, reason in ONLY_A_WORKSPACE.items():
        lines.append(f"  {kind} ({journal.only_kept[kind]} kept): {reason}")
    return lines
