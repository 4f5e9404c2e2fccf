"""Tableau data sources (.tds): one for each mart, over Tableau's connector for Databricks.

The connection's attributes are those of the connector itself (github.com/databricks/tableau-connector);
the rest is what Tableau's schema of workbooks (github.com/tableau/tableau-document-schemas) says of a data source.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5
from xml.etree import ElementTree

from bi.connection import Connection
from bi.marts import NUMBERS, Column, Gold, Mart

AGGREGATIONS = {"sum": "Sum", "average": "Avg"}
CONNECTION = "databricks.gold"


def files(gold: Gold, connection: Connection) -> dict[str, str]:
    """Every mart's data source by its path in the folder."""
    return {f"{mart.name}.tds": _source(mart, gold, connection) for mart in gold.marts}


def _source(mart: Mart, gold: Gold, connection: Connection) -> str:
    catalog, schema = connection.catalog or gold.catalog, connection.schema or gold.schema
    source = ElementTree.Element(
        "datasource",
        {
            "formatted-name": f"federated.{uuid5(NAMESPACE_URL, f'financial_insights/{mart.name}').hex}",
            "inline": "true",
            "version": "18.1",
        },
    )
    # By it dbname is a catalog; without it Tableau may take it for the HTTP path, as it did before there were catalogs.
    _add(_add(source, "document-format-change-manifest"), "DatabricksCatalog")
    federated = _add(source, "connection", {"class": "federated"})
    named = _add(_add(federated, "named-connections"), "named-connection", {"caption": "Gold", "name": CONNECTION})
    _add(
        named,
        "connection",
        {
            "class": "databricks",
            "server": connection.host,
            "v-http-path": connection.http_path,
            "dbname": catalog,
            "schema": schema,
            "authentication": "oauth",
            "authentication-type": "",
            "username": "",
            "odbc-connect-string-extras": "",
            "one-time-sql": "",
            # Who opens a published data source logs in as themselves.
            "workgroup-auth-mode": "prompt",
        },
    )
    table = ".".join(map(_name, (catalog, schema, mart.name)))
    _add(federated, "relation", {"connection": CONNECTION, "name": mart.name, "table": table, "type": "table"})
    _add(source, "aliases", {"enabled": "yes"})
    for column in mart.columns:
        _column(source, column)
    ElementTree.indent(source)
    comment = f"<!-- {mart.description.replace('--', '-')} -->\n" if mart.description else ""
    return f"<?xml version='1.0' encoding='utf-8' ?>\n{comment}{ElementTree.tostring(source, encoding='unicode')}\n"


def _column(source: ElementTree.Element, column: Column) -> None:
    is_measure = column.summary in AGGREGATIONS
    attributes = {
        "caption": _caption(column.name),
        "datatype": "real" if column.kind == "decimal" else column.kind,
        "name": _name(column.name),
        "role": "measure" if is_measure else "dimension",
        "type": "quantitative" if is_measure else "nominal" if column.kind in ("string", "boolean") else "ordinal",
    }
    if is_measure:
        digits = "0." + "0" * (column.scale or 2) if column.kind == "real" or column.scale else "0"
        attributes["aggregation"] = AGGREGATIONS[column.summary]
        attributes["default-format"] = f"n#,##{digits};-#,##{digits}"
    elif column.kind in NUMBERS:
        attributes["aggregation"] = "Count"
    if column.is_technical:
        attributes["hidden"] = "true"
    described = _add(source, "column", attributes)
    if column.description:
        text = _add(_add(described, "desc"), "formatted-text")
        _add(text, "run").text = column.description


def _name(name: str) -> str:
    """A name as Tableau writes it, whatever is in it."""
    return "[" + name.replace("]", "]]") + "]"


def _caption(name: str) -> str:
    """A name as words: customer_id is Customer ID."""
    words = " ".join("ID" if word == "id" else word for word in name.strip("_").split("_"))
    return words[:1].upper() + words[1:]


def _add(parent: ElementTree.Element, tag: str, attributes: dict[str, Any] | None = None) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes or {})
