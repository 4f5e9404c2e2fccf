"""What there is to compare, read from dbt's project, so that a table a user adds is compared without being told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner

from reconcile.errors import ReconcileError
from source.capture import TableName
from source.errors import one_line

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Column:
    """A column as the project declares it; `field` is its name in the bank."""

    name: str
    data_type: str
    field: str


@dataclass(frozen=True)
class Entity:
    """One of the bank's tables on its way: Bronze, every change, and Silver's current state."""

    name: str
    bank_table: TableName
    bronze: str
    changes: str
    silver: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class GoldTable:
    """A mart: its model's name, its table, and its columns but for what the pipeline adds."""

    name: str
    relation: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Project:
    """What dbt's project says.

    Attributes:
        entities: tables of the bank that have a table in Silver.
        marts: every model tagged `gold`.
        relations: each model's table by the model's name, as SQL writes it.
        passed_over: staging models that aren't one table of the bank's.
    """

    entities: tuple[Entity, ...]
    marts: tuple[GoldTable, ...]
    relations: dict[str, str]
    passed_over: tuple[str, ...]


def read_project() -> Project:
    """Let dbt parse the project for the target it would run on (a second or two: it remembers the last time).

    dbt's plugin of the local stack fills in the environment on the way, where that leads to the stack.

    Raises:
        ReconcileError: dbt can't parse it.
    """
    parsed = dbtRunner().invoke(["--quiet", "parse", "--project-dir", str(PROJECT)])
    if not parsed.success:
        reason = one_line(parsed.exception or "see above")
        raise ReconcileError(f"dbt can't read its project: {reason} To see more, run: dbt parse")
    return from_manifest(parsed.result)


def from_manifest(manifest: Any) -> Project:
    """What a manifest (dbt.contracts.graph.manifest.Manifest) says."""
    models = {node.unique_id: node for node in manifest.nodes.values() if node.resource_type == "model"}
    staging = [node for node in models.values() if node.name.startswith("stg_")]
    entities = {node.name: _entity(node, models, manifest.sources) for node in staging}
    marts = [node for node in models.values() if "gold" in node.tags]
    return Project(
        entities=tuple(entity for _, entity in sorted(entities.items()) if entity is not None),
        marts=tuple(
            GoldTable(node.name, node.relation_name, tuple(_columns(node)))
            for node in sorted(marts, key=lambda node: str(node.name))
        ),
        relations={node.name: node.relation_name for node in models.values() if node.relation_name},
        passed_over=tuple(sorted(name for name, entity in entities.items() if entity is None)),
    )


def _entity(staging: Any, models: dict[str, Any], sources: dict[str, Any]) -> Entity | None:
    """The bank's table that a staging model keeps the current state of; None if it isn't made of exactly one."""
    read = [models[name] for name in staging.depends_on.nodes if name in models]
    # A view of a history has its key, and is made of what that is made of.
    table = read[0] if staging.config.materialized == "view" and len(read) == 1 else staging
    bases = [models[name] for name in table.depends_on.nodes if name in models]
    bases = [base for base in bases if "decode_changes(" in base.raw_code]
    tables = [sources[name] for base in bases for name in base.depends_on.nodes if name in sources]
    key = table.config.unique_key
    if len(bases) != 1 or len(tables) != 1 or tables[0].source_name != "bronze" or not key:
        return None
    key = (key,) if isinstance(key, str) else tuple(name for name in key if name != "version_number")
    columns = tuple(_columns(bases[0]))
    if not set(key) <= {column.name for column in columns}:
        return None
    return Entity(
        name=staging.name,
        bank_table=_bank_table(tables[0]),
        bronze=tables[0].relation_name,
        changes=bases[0].relation_name,
        silver=staging.relation_name,
        key=key,
        columns=columns,
    )


def _bank_table(table: Any) -> TableName:
    """A Bronze table's name in the bank. Bronze has small letters and no blanks: `meta` says where the name differs."""
    meta = {**table.meta, **table.config.meta}
    return TableName(str(meta.get("schema", "public")), str(meta.get("table", table.identifier)))


def _columns(node: Any) -> Iterator[Column]:
    """All but what the pipeline adds, by names that no column of the bank's may have (macros/messages/columns.sql)."""
    for name, column in node.columns.items():
        if not name.startswith("_cdc_") and name not in ("_ingested_at", "_run_number", "_loaded_at"):
            yield Column(name, column.data_type or "", column.config.meta.get("field", name))
