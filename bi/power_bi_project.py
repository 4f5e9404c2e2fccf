"""A Power BI project (PBIP): Gold as a semantic model in TMDL, and an empty report on it, in Power BI's PBIR.

TMDL is Microsoft's Tabular Model Definition Language; the versions of the JSON files are those of its published schemas
(github.com/microsoft/json-schemas, fabric/), and a year old, so that not only the newest Power BI Desktop opens them.
"""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from bi.connection import Connection
from bi.errors import BiError
from bi.marts import Column, Gold, Mart, Relationship
from bi.metrics import Metric

NAME = "FinancialInsights"
TITLE = "Financial Insights"
SCHEMAS = "https://developer.microsoft.com/json-schemas/fabric"
PAGE = "gold"

DATA_TYPES = {
    "integer": "int64",
    "decimal": "decimal",
    "real": "double",
    "string": "string",
    "boolean": "boolean",
    "date": "dateTime",
    "datetime": "dateTime",
}
DATES = {"date": "yyyy-mm-dd", "datetime": "yyyy-mm-dd hh:nn:ss"}


def files(gold: Gold, connection: Connection) -> dict[str, str]:
    """Every file's text by its path in the project's folder.

    Raises:
        BiError: a mart that is called like one of the queries.
    """
    queries = _queries(gold, connection)
    if taken := {mart.name.lower() for mart in gold.marts} & {name.lower() for name in queries}:
        raise BiError(f"A mart can't be called {', '.join(sorted(taken))}: a query of the Power BI model is. Rename it")
    model, report = f"{NAME}.SemanticModel", f"{NAME}.Report"
    return {
        # What Power BI Desktop keeps beside a project is one person's own: a copy of the rows, for one.
        ".gitignore": "**/.pbi/\n",
        f"{NAME}.pbip": _json(
            "pbip/pbipProperties/1.0.0",
            version="1.0",
            artifacts=[{"report": {"path": report}}],
            settings={"enableAutoRecovery": True},
        ),
        f"{model}/.platform": _platform("SemanticModel"),
        f"{model}/definition.pbism": _json("item/semanticModel/definitionProperties/1.0.0", version="4.2", settings={}),
        f"{model}/definition/database.tmdl": "database\n\tcompatibilityLevel: 1600\n\n",
        f"{model}/definition/model.tmdl": _model(gold, list(queries)),
        f"{model}/definition/expressions.tmdl": "".join(queries.values()),
        f"{model}/definition/relationships.tmdl": "".join(map(_relationship, gold.relationships)),
        **{f"{model}/definition/tables/{mart.name}.tmdl": _table(mart, gold, connection) for mart in gold.marts},
        f"{report}/.platform": _platform("Report"),
        f"{report}/definition.pbir": _json(
            "item/report/definitionProperties/2.0.0",
            version="4.0",
            datasetReference={"byPath": {"path": f"../{model}"}},
        ),
        f"{report}/definition/version.json": _json("item/report/definition/versionMetadata/1.0.0", version="2.0.0"),
        f"{report}/definition/report.json": _json(
            "item/report/definition/report/3.0.0",
            themeCollection={},
            settings={"useStylableVisualContainerHeader": True},
        ),
        f"{report}/definition/pages/pages.json": _json(
            "item/report/definition/pagesMetadata/1.0.0", pageOrder=[PAGE], activePageName=PAGE
        ),
        f"{report}/definition/pages/{PAGE}/page.json": _json(
            "item/report/definition/page/2.0.0",
            name=PAGE,
            displayName="Gold",
            displayOption="FitToPage",
            height=720,
            width=1280,
        ),
    }


def _queries(gold: Gold, connection: Connection) -> dict[str, str]:
    """The parameters, which Power BI shows under Edit parameters, and the one query that all tables start from."""
    parameters = {
        "DatabricksHost": (connection.host, "Server hostname of the SQL warehouse, without https://."),
        "DatabricksHttpPath": (
            connection.http_path,
            "HTTP path of the SQL warehouse: /sql/1.0/warehouses/ and its id.",
        ),
        "DatabricksCatalog": (connection.catalog or gold.catalog, "Unity Catalog's catalog that Gold is in."),
        "GoldSchema": (connection.schema or gold.schema, "The schema that Gold is in."),
    }
    queries = {
        name: f"/// {description}\n"
        f"expression {name} = {_text(value)} meta"
        f' [IsParameterQuery=true, Type="Text", IsParameterQueryRequired=true]\n'
        f"\tlineageTag: {_tag('expression', name)}\n\n"
        f"\tannotation PBI_ResultType = Text\n\n"
        for name, (value, description) in parameters.items()
    }
    queries["Gold"] = (
        "/// The schema that all tables are read from, and the one place that says by which connector.\n"
        "expression Gold =\n"
        "\t\tlet\n"
        "\t\t    Source = Databricks.Catalogs(DatabricksHost, DatabricksHttpPath,"
        " [Catalog=null, Database=null, EnableAutomaticProxyDiscovery=null]),\n"
        '\t\t    Catalog = Source{[Name=DatabricksCatalog,Kind="Database"]}[Data],\n'
        '\t\t    Schema = Catalog{[Name=GoldSchema,Kind="Schema"]}[Data]\n'
        "\t\tin\n"
        "\t\t    Schema\n"
        f"\tlineageTag: {_tag('expression', 'Gold')}\n\n"
        "\tannotation PBI_NavigationStepName = Navigation\n\n"
        "\tannotation PBI_ResultType = Table\n\n"
    )
    return queries


def _model(gold: Gold, queries: list[str]) -> str:
    """What holds for the whole model, and the order in which Power BI shows what is in it."""
    names = [*queries, *(mart.name for mart in gold.marts)]
    order = json.dumps(names, separators=(",", ":"))
    references = "".join(f"ref table {_name(mart.name)}\n" for mart in gold.marts)
    return (
        "model Model\n"
        "\tculture: en-US\n"
        "\tdefaultPowerBIDataSourceVersion: powerBI_V3\n"
        "\tsourceQueryCulture: en-US\n"
        "\tdataAccessOptions\n"
        "\t\tlegacyRedirects\n"
        "\t\treturnErrorValuesAsNull\n\n"
        # Without, Power BI would make a hidden table of days for each column of dates.
        "annotation __PBI_TimeIntelligenceEnabled = 0\n\n"
        f"annotation PBI_QueryOrder = {order}\n\n"
        f"{references}\n"
    )


def _relationship(relationship: Relationship) -> str:
    """Many to one, by which the dimension filters the other and not the other way round.

    That holds where each has one row, too: one to one would filter both ways.
    """
    ends = (relationship.mart, relationship.column, relationship.dimension, relationship.key)
    mart, column, dimension, key = map(_name, ends)
    inactive = "" if relationship.is_active else "\tisActive: false\n"
    return (
        f"relationship {_tag('relationship', *ends)}\n{inactive}"
        f"\tfromColumn: {mart}.{column}\n\ttoColumn: {dimension}.{key}\n\n"
    )


def _table(mart: Mart, gold: Gold, connection: Connection) -> str:
    """A mart as a table: the metrics that are listed with it, its columns, and where its rows come from."""
    # A column by which a table belongs to another is picked from the other, whose rows are all there are.
    hidden = {each.column for each in gold.relationships if each.mart == mart.name}
    return (
        f"{_description(mart.description)}table {_name(mart.name)}\n\tlineageTag: {_tag('table', mart.name)}\n\n"
        + "".join(_measure(metric) for metric in gold.metrics if metric.mart == mart.name)
        + "".join(_column(column, mart, is_hidden=column.name in hidden) for column in mart.columns)
        + f"\tpartition {_name(mart.name)} = m\n"
        f"\t\tmode: {connection.storage}\n"
        "\t\tsource =\n"
        "\t\t\t\tlet\n"
        f"\t\t\t\t    Mart = Gold{{[Name={_text(mart.name)}]}}[Data]\n"
        "\t\t\t\tin\n"
        "\t\t\t\t    Mart\n\n"
        "\tannotation PBI_NavigationStepName = Navigation\n\n"
        "\tannotation PBI_ResultType = Table\n\n"
    )


def _measure(metric: Metric) -> str:
    shown = {"integer": "#,0", "share": "0.0%", **DATES}.get(metric.kind, "#,0.00")
    return (
        f"{_description(metric.description, depth=1)}\tmeasure {_name(metric.label)} = {metric.formula}\n"
        f"\t\tformatString: {shown}\n"
        f"\t\tlineageTag: {_tag('measure', metric.name)}\n\n"
    )


def _column(column: Column, mart: Mart, *, is_hidden: bool) -> str:
    lines = [f"dataType: {DATA_TYPES[column.kind]}"]
    if is_hidden or column.is_technical:
        lines.append("isHidden")
    if column.kind in DATES:
        lines.append(f"formatString: {DATES[column.kind]}")
    elif column.kind in ("integer", "decimal", "real"):
        lines.append(f"formatString: {_number_format(column)}")
    lines += [
        f"lineageTag: {_tag('column', mart.name, column.name)}",
        f"summarizeBy: {column.summary}",
        f"sourceColumn: {column.name}",
        "",
        "annotation SummarizationSetBy = User",
        "",
    ]
    if column.kind == "date":
        lines += ["annotation UnderlyingDateTimeDataType = Date", ""]
    body = "".join(f"\t\t{line}\n" if line else "\n" for line in lines)
    return f"{_description(column.description, depth=1)}\tcolumn {_name(column.name)}\n{body}"


def _number_format(column: Column) -> str:
    """A format of Power BI: an id without separators, an amount with them and with the digits that it has."""
    if column.kind == "integer":
        return "0" if column.summary == "none" else "#,0"
    return "#,0." + "0" * (column.scale or 2) if column.kind == "real" or column.scale else "#,0"


def _description(text: str, depth: int = 0) -> str:
    return "\t" * depth + f"/// {text}\n" if text else ""


def _name(name: str) -> str:
    """A name as TMDL writes it."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else "'" + name.replace("'", "''") + "'"


def _text(value: str) -> str:
    """A text as Power Query writes it, where #( begins an escape."""
    return '"' + value.replace('"', '""').replace("#(", "#(#)(") + '"'


def _tag(*names: str) -> str:
    """An id that is the same each time: by it Power BI knows a thing again."""
    return str(uuid5(NAMESPACE_URL, "/".join(("financial_insights", *names))))


def _platform(kind: str) -> str:
    return _json(
        "gitIntegration/platformProperties/2.0.0",
        metadata={"type": kind, "displayName": TITLE},
        config={"version": "2.0", "logicalId": _tag(kind)},
    )


def _json(schema: str, **values: Any) -> str:
    return json.dumps({"$schema": f"{SCHEMAS}/{schema}/schema.json", **values}, indent=2) + "\n"
