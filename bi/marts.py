"""What there is in Gold, read from dbt's manifest, so that a mart a user adds is in the files without being told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bi.errors import BiError
from bi.metrics import Metric, one_line, read_metrics

PROJECT = Path(__file__).resolve().parent.parent

# Databricks' types (its SQL reference) as both programs know them; decimals are told apart by their scale.
KINDS = {
    "tinyint": "integer",
    "smallint": "integer",
    "int": "integer",
    "integer": "integer",
    "bigint": "integer",
    "float": "real",
    "double": "real",
    "string": "string",
    "varchar": "string",
    "char": "string",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "datetime",
    "timestamp_ntz": "datetime",
}
NUMBERS = {"integer", "decimal", "real"}
# Power BI's fixed decimal number has four digits after the point.
EXACT_SCALE = 4

# A number whose name has one of these words is a property of its row, and not to be added up.
PER_ROW = {
    "average",
    "avg",
    "mean",
    "median",
    "probability",
    "rate",
    "ratio",
    "score",
    "share",
    "percent",
    "percentage",
}
# These aren't amounts at all.
LABELS = {"id", "year", "quarter", "month", "week", "weekday", "hour", "number", "rank"}


@dataclass(frozen=True)
class Column:
    """A column of a mart.

    Attributes:
        name: as in the table.
        description: one line.
        data_type: as the contract has it.
        kind: integer, decimal (exact, at most four digits after the point), real, string, boolean, date or datetime.
        scale: digits after the point of a decimal, otherwise 0.
        is_technical: whether it is the pipeline's own and no reader's.
        summary: how it is summarized unless somebody says otherwise: sum, average or none.
    """

    name: str
    description: str
    data_type: str
    kind: str
    scale: int
    is_technical: bool
    summary: str


@dataclass(frozen=True)
class Mart:
    """A mart: its table's name, its columns in the table's order, and those that tell its rows apart, if it says."""

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def column(self, name: str) -> Column | None:
        """The column of this name; None if there is none."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True)
class Relationship:
    """Many rows of a mart belong to one of another, its dimension. At most one way between two marts is active."""

    mart: str
    column: str
    dimension: str
    key: str
    is_active: bool = True


@dataclass(frozen=True)
class Gold:
    """What the manifest says of Gold: marts by name, how they belong together, and the metrics."""

    catalog: str
    schema: str
    marts: tuple[Mart, ...]
    relationships: tuple[Relationship, ...]
    metrics: tuple[Metric, ...]


def read_manifest() -> dict[str, Any]:
    """Let dbt parse the project for the target `prod`, whose names are the bank's, whatever the environment says.

    Raises:
        BiError: dbt can't parse it.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "DATABRICKS_"))}
    # Nothing is reached: parsing only needs them to be there.
    environment |= {"DATABRICKS_HOST": "localhost", "DATABRICKS_HTTP_PATH": "none"}
    with TemporaryDirectory() as work:
        command = [
            *(sys.executable, "-m", "dbt.cli.main", "--quiet", "--no-use-colors"),
            *("parse", "--target", "prod", "--target-path", work, "--log-path", work),
            *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            # dbt says the time, that there is an error, and then which, on several lines.
            reason = one_line(done.stdout.partition("Encountered an error:")[2]) or "no reason given"
            raise BiError(f"dbt can't read its project: {reason.rstrip('.')}. To see more, run: dbt parse")
        manifest: dict[str, Any] = json.loads((Path(work) / "manifest.json").read_text(encoding="utf-8"))
    return manifest


def from_manifest(manifest: dict[str, Any]) -> Gold:
    """What a manifest (dbt's artefact manifest.json) says of the models in models/marts/ whose contract is enforced.

    Raises:
        BiError: a type or a metric that can't be put into the files; no mart, or marts in several schemas.
    """
    nodes = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        and node["original_file_path"].startswith("models/marts/")
        and node["config"]["contract"]["enforced"]
    ]
    nodes.sort(key=lambda node: str(node["name"]))
    places = {(node["database"], node["schema"]) for node in nodes}
    if len(places) != 1:
        raise BiError(
            f"The marts must be in one schema, and are in {len(places)}: {sorted(places)}. See dbt_project.yml"
        )
    tested = _tested_keys(manifest)
    marts = tuple(_mart(node, tested) for node in nodes)
    ((catalog, schema),) = places
    return Gold(
        catalog=str(catalog),
        schema=str(schema),
        marts=marts,
        relationships=tuple(_relationships(nodes, {mart.name: mart for mart in marts})),
        metrics=read_metrics(
            manifest, {mart.name: {column.name: column.kind for column in mart.columns} for mart in marts}
        ),
    )


def _mart(node: dict[str, Any], tested: dict[str, tuple[str, ...]]) -> Mart:
    key = next((tuple(names) for kind, names, _ in _constraints(node) if kind == "primary_key"), ())
    # A view has no constraints; its tests say as much.
    key = key or tested.get(node["unique_id"], ())
    bound = {names[0] for kind, names, _ in _constraints(node) if kind == "foreign_key" and len(names) == 1}
    declared = [_typed(node["name"], column) for column in node["columns"].values()]
    is_daily = any(kind in ("date", "datetime") for name, kind, _ in declared if name in key)
    columns = []
    for (name, kind, scale), column in zip(declared, node["columns"].values(), strict=True):
        words = set(name.split("_"))
        if kind not in NUMBERS or name in (*key, *bound) or words & LABELS or name.startswith("_"):
            summary = "none"
        # Money that is there on two days is not twice the money.
        elif words & PER_ROW or (is_daily and "balance" in words):
            summary = "average"
        else:
            summary = "sum"
        columns.append(
            Column(
                name=name,
                description=one_line(column["description"]),
                data_type=column["data_type"],
                kind=kind,
                scale=scale,
                is_technical=name.startswith("_"),
                summary=summary,
            )
        )
    return Mart(node["name"], one_line(node["description"]), tuple(columns), key)


def _typed(mart: str, column: dict[str, Any]) -> tuple[str, str, int]:
    """A column's name, its kind and its scale."""
    name, data_type = column["name"], (column["data_type"] or "").lower()
    if decimal := re.fullmatch(r"(?:decimal|numeric|dec)(?:\(\s*\d+\s*(?:,\s*(\d+)\s*)?\))?", data_type):
        scale = int(decimal[1] or 0)
        return name, "decimal" if scale <= EXACT_SCALE else "real", scale
    kind = KINDS.get(re.sub(r"\(\d+\)$", "", data_type))
    if kind is None:
        raise BiError(
            f"{mart}.{name} is of type {data_type or 'unknown'}, which has no place in Power BI and Tableau."
            " Give it another in the mart, or add it to KINDS in bi/marts.py"
        )
    return name, kind, 0


def _constraints(node: dict[str, Any]) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """A model's constraints and those of its columns: kind, columns, and all that is said."""
    for constraint in node["constraints"]:
        yield constraint["type"], constraint["columns"], constraint
    for name, column in node["columns"].items():
        for constraint in column.get("constraints", []):
            yield constraint["type"], [name], constraint


def _tested_keys(manifest: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The columns that a model's rows are told apart by, as its tests say."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for node in manifest["nodes"].values():
        tested = node.get("test_metadata") if node["resource_type"] == "test" else None
        if tested and tested["name"] == "unique":
            found.setdefault(node["attached_node"], set()).add((node["column_name"],))
        elif tested and tested["name"] == "primary_key":
            found.setdefault(node["attached_node"], set()).add(tuple(tested["kwargs"]["columns"]))
    return {model: min(keys, key=lambda key: (len(key), key)) for model, keys in found.items()}


def _relationships(nodes: list[dict[str, Any]], marts: dict[str, Mart]) -> list[Relationship]:
    """Which marts belong to which: by foreign keys to a mart, and by a key that marts share.

    The marts' foreign keys lead to Silver, which no reader of Gold sees: what stands for it in Gold is the mart with
    its key and without a foreign key by it, or, of several such, the one that is made of the others.
    """
    found: dict[tuple[str, str], Relationship] = {}
    bound: set[tuple[str, str]] = set()
    for node in nodes:
        for kind, names, constraint in _constraints(node):
            if kind != "foreign_key" or len(names) != 1:
                continue
            bound.add((node["name"], names[0]))
            other = re.search(r"ref\(\s*['\"](\w+)['\"]\s*\)", constraint["to"] or "")
            if other and other[1] in marts and constraint["to_columns"]:
                relationship = Relationship(node["name"], names[0], other[1], constraint["to_columns"][0])
                found[relationship.mart, relationship.column] = relationship

    reads = {node["name"]: {parent.split(".")[-1] for parent in node["depends_on"]["nodes"]} for node in nodes}
    for column in sorted({mart.key[0] for mart in marts.values() if len(mart.key) == 1}):
        sharing = [mart for mart in marts.values() if mart.column(column)]
        owners = [mart for mart in sharing if mart.key == (column,) and (mart.name, column) not in bound]
        rank = {mart.name: len(reads[mart.name] & {other.name for other in sharing}) for mart in owners}
        owners = [mart for mart in owners if rank[mart.name] == max(rank.values())]
        kinds = {each.kind for mart in sharing if (each := mart.column(column))}
        # A day is no dimension: two marts of days share nothing but the calendar.
        if len(sharing) == 1 or not owners or kinds & {"date", "datetime"}:
            continue
        if len(owners) > 1:
            raise BiError(
                f"{' and '.join(mart.name for mart in owners)} could each be the dimension of {column}."
                " Declare a foreign key from one to the other"
            )
        if len(kinds) > 1:
            raise BiError(
                f"{column} is of different types in {', '.join(mart.name for mart in sharing)}. Make them one"
            )
        for mart in sharing:
            if mart is not owners[0]:
                found.setdefault((mart.name, column), Relationship(mart.name, column, owners[0].name, column))
    return _without_a_second_way(list(found.values()))


def _without_a_second_way(relationships: list[Relationship]) -> list[Relationship]:
    """The same, sorted; inactive are those that would be a second way between two marts, which Power BI refuses.

    The way to the dimension that most marts belong to comes first.
    """
    common = Counter(each.dimension for each in relationships)
    reached: dict[str, set[str]] = {}
    found = []
    for each in sorted(relationships, key=lambda each: (-common[each.dimension], each.mart, each.column)):
        behind = {each.mart} | {mart for mart, ahead in reached.items() if each.mart in ahead}
        ahead = {each.dimension} | reached.get(each.dimension, set())
        is_active = not any(reached.get(mart, set()) & ahead or mart in ahead for mart in behind)
        if is_active:
            for mart in behind:
                reached.setdefault(mart, set()).update(ahead)
        found.append(replace(each, is_active=is_active))
    return sorted(found, key=lambda each: (each.mart, each.column))
