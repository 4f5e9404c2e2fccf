"""SQL of the saved queries in dbt's project, so that a dashboard's figure and dbt's metric are one and the same.

MetricFlow, which dbt's semantic models are made for, writes the SQL; it is kept in `queries/metrics/`, so that showing
a page needs neither dbt nor MetricFlow. Ratios are the exception: MetricFlow joins two aggregations for each, and
divides doubles. Here it is asked for numerator and denominator, and the division, of decimals, is put around them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import sqlglot
from dbt.cli.main import dbtRunner
from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest
from metricflow.protocols.sql_client import SqlClient, SqlEngine
from metricflow.sql.render.databricks import DatabricksSqlPlanRenderer
from metricflow.sql.render.sql_plan_renderer import SqlPlanRenderer
from metricflow_semantic_interfaces.implementations.semantic_manifest import PydanticSemanticManifest
from metricflow_semantics.model.dbt_manifest_parser import parse_manifest_from_dbt_generated_manifest
from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

PROJECT = Path(__file__).resolve().parent.parent
QUERIES = Path(__file__).with_name("queries") / "metrics"

# MetricFlow wants tables with a schema. Whoever runs a query says which it is by the connection.
SCHEMA = "marts"

# The queries of which only the first rows are wanted: by which metric, the greatest first, and how many. dbt's saved
# queries have `order_by` and `limit`, but its parser calls them deprecated with dbt-databricks.
FIRST = {"money_by_customer": ("lifetime_money_moved", 50), "payments_by_customer": ("lifetime_failed_payments", 20)}

# What a ratio is rounded to: money to the cent, a share to the hundredth of a percent.
PLACES = {"average_transaction": 2, "payment_failure_rate": 4}


class _Dialect:
    """What MetricFlow asks of a warehouse when it only writes SQL: Databricks', which Spark knows too."""

    @property
    def sql_engine_type(self) -> SqlEngine:
        return SqlEngine.DATABRICKS

    @property
    def sql_plan_renderer(self) -> SqlPlanRenderer:
        return DatabricksSqlPlanRenderer()

    def render_bind_parameter_key(self, bind_parameter_key: str) -> str:
        return f":{bind_parameter_key}"


def semantic_manifest(target_path: Path) -> PydanticSemanticManifest:
    """What dbt says of metrics after it parsed the project, each table in `SCHEMA`, wherever it is.

    Args:
        target_path: where dbt writes what it parsed.

    Raises:
        SystemExit: dbt can't parse the project.
    """
    words = ["--quiet", "parse", "--target", "local", "--project-dir", str(PROJECT), "--target-path", str(target_path)]
    if not (parsed := dbtRunner().invoke(words)).success:
        raise SystemExit(f"dbt can't read its project: {parsed.exception or 'see above'}")
    manifest = parse_manifest_from_dbt_generated_manifest((target_path / "semantic_manifest.json").read_text())
    for model in manifest.semantic_models:
        model.node_relation.relation_name = f"{SCHEMA}.{model.node_relation.alias}"
    return manifest


def queries_of(manifest: PydanticSemanticManifest, *, own_ratios: bool = False) -> dict[str, str]:
    """The SQL of each saved query, by its name. Its columns are those that the query groups by, then its metrics.

    Args:
        manifest: what dbt says; its saved queries are changed.
        own_ratios: whether MetricFlow is asked for ratios too, which is slower and less exact.
    """
    ratios = {
        metric.name: (metric.type_params.numerator.name, metric.type_params.denominator.name)
        for metric in manifest.metrics
        if metric.type_params.numerator and metric.type_params.denominator and not own_ratios
    }
    wanted = {query.name: list(query.query_params.metrics) for query in manifest.saved_queries}
    for query in manifest.saved_queries:
        # A dict, as one may be wanted for itself and for a ratio.
        inputs = dict.fromkeys(part for name in wanted[query.name] for part in ratios.get(name, (name,)))
        query.query_params.metrics = list(inputs)
    engine = MetricFlowEngine(SemanticManifestLookup(manifest), cast(SqlClient, _Dialect()))
    return {
        query.name: _with_ratios(
            query.name,
            engine.explain(MetricFlowQueryRequest.create(saved_query_name=query.name)).sql_statement.sql.replace(
                f" {SCHEMA}.", " "
            ),
            wanted[query.name],
            ratios,
            len(query.query_params.group_by),
        )
        for query in manifest.saved_queries
    }


def _with_ratios(
    name_of_query: str, sql: str, names: list[str], ratios: dict[str, tuple[str, str]], groups: int
) -> str:
    """A query of the inputs as one of the metrics."""
    columns = [_short(column) for column in _columns(sql)]
    selected = [
        f"{full} as {short}" if full != short else short
        for full, short in zip(_columns(sql)[:groups], columns[:groups], strict=True)
    ]
    for name in names:
        if name in ratios:
            numerator, denominator = ratios[name]
            places = next(places for ending, places in PLACES.items() if name.endswith(ending))
            selected.append(f"round({numerator} / nullif({denominator}, 0), {places}) as {name}")
        else:
            selected.append(name)
    order = ", ".join(columns[:groups])
    if name_of_query in FIRST:
        metric, count = FIRST[name_of_query]
        order = f"{metric} desc, {order}\nlimit {count}"
    ordered = f"\norder by {order}" if order else ""
    inner = "\n".join(f"    {line}" for line in sql.strip().splitlines() if not line.strip().startswith("--"))
    return f"select\n    {(',' + chr(10) + '    ').join(selected)}\nfrom (\n{inner}\n) as figures{ordered}\n"


def _columns(sql: str) -> list[str]:
    """The names of a query's columns."""
    return sqlglot.parse_one(sql, dialect="databricks", into=sqlglot.exp.Select).named_selects


def _short(column: str) -> str:
    """A column's own name, as in its table: without its entity and grain."""
    return re.sub(r"__day$", "", column).rpartition("__")[2]


def write(queries: dict[str, str], folder: Path) -> None:
    """Write each query into a file of its own, and remove what is there of queries that are gone."""
    for file in folder.glob("*.sql"):
        file.unlink()
    for name, sql in queries.items():
        note = "-- Made from dbt's saved query of this name (models/marts/_marts__saved_queries.yml) by: make queries\n"
        (folder / f"{name}.sql").write_text(note + sql)
