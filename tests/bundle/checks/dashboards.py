"""Dashboards: what their files say of queries, parameters, fields and places, looked up in the file itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

from bundle.deployment import Deployment
from bundle.reading import Found, KeyPath, nearest, one_line

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

# A page of a file that is imported, unless it says otherwise.
COLUMNS = 6


class Unusable(Exception):
    """A file or a query can't be read. The message is one line."""


def check_dashboards(deployment: Deployment) -> Iterator[Found]:
    """Each viewer reads with their own rights, and the file holds together."""
    for name, dashboard in deployment.resources("dashboards").items():
        path = ("resources", "dashboards", name)
        if dashboard.get("embed_credentials"):
            yield (*path, "embed_credentials"), "must be false: each viewer reads with their own rights"
        try:
            content = read(deployment, path)
            problems = [*wrong_datasets(content), *wrong_widgets(content), *wrong_places(content)]
        except Unusable as error:
            problems = [str(error)]
        except (KeyError, TypeError, AttributeError) as error:
            problems = [f"not a dashboard: {type(error).__name__} {error}"]
        yield from (((*path, "file_path"), problem) for problem in problems)


def check_tables(deployment: Deployment, manifest: Manifest) -> Iterator[Found]:
    """The tables that a dashboard reads are dbt's, and where the target has them."""
    nodes = [*manifest.nodes.values(), *manifest.sources.values()]
    known = {f"{node.database}.{node.schema}.{node.identifier}" for node in nodes}
    schemas = {f"{node.database}.{node.schema}" for node in nodes}
    made = {
        f"{one['catalog_name']}.{deployment.prefix}{one['name']}" for one in deployment.resources("schemas").values()
    }
    for name, dashboard in deployment.resources("dashboards").items():
        path = ("resources", "dashboards", name)
        place = f"{dashboard.get('dataset_catalog')}.{dashboard.get('dataset_schema')}"
        read_by = {
            table.sql() if table.db else f"{place}.{table.name}": dataset["name"]
            for dataset in read(deployment, path)["datasets"]
            for table in parsed(dataset).find_all(exp.Table)
        }
        missing = {table: dataset for table, dataset in read_by.items() if table not in known}
        if missing == read_by and place not in made - schemas:
            tables = {table.removeprefix(f"{place}.") for table in read_by}
            homes = {f"{node.database}.{node.schema}" for node in nodes if node.identifier in tables}
            yield (*path, "dataset_schema"), f"none of the tables is in {place}; {nearest('', homes)}"
        # Where dbt means another schema than the bundle makes, that is what is wrong.
        for table, dataset in missing.items() if missing != read_by else ():
            yield (*path, "file_path"), f"dataset {dataset}: dbt knows no table {table}; {nearest(table, known)}"


def read(deployment: Deployment, path: KeyPath) -> dict[str, Any]:
    """The file of the dashboard that a key path leads to.

    Raises:
        Unusable: it isn't there, or isn't JSON.
    """
    written = deployment.resources("dashboards")[str(path[-1])].get("file_path")
    if not written:
        raise Unusable("the dashboard has no file")
    try:
        content: dict[str, Any] = json.loads(deployment.bundle.beside((*path, "file_path"), written).read_text())
    except FileNotFoundError as error:
        raise Unusable(f"there is no file {written}") from error
    except json.JSONDecodeError as error:
        raise Unusable(f"{written} isn't JSON: {error}") from error
    return content


def parsed(dataset: dict[str, Any]) -> exp.Query:
    """A dataset's query.

    Raises:
        Unusable: it isn't SQL of Databricks.
    """
    try:
        query = sqlglot.parse_one("".join(dataset["queryLines"]), dialect="databricks")
    except sqlglot.errors.ParseError as error:
        told = one_line(error.errors[0]["description"])
        raise Unusable(f"dataset {dataset['name']}: the query isn't SQL: {told}") from error
    if not isinstance(query, exp.Query):
        raise Unusable(f"dataset {dataset['name']}: it reads no rows")
    return query


def wrong_datasets(content: dict[str, Any]) -> Iterator[str]:
    """Parameters that aren't declared, or that nothing uses."""
    for dataset in content["datasets"]:
        name, declared = dataset["name"], parameters_of(dataset)
        used = {marker.name for marker in parsed(dataset).find_all(exp.Placeholder)}
        for parameter in sorted(used - declared):
            yield f"dataset {name}: the parameter {parameter} isn't declared; {nearest(parameter, declared)}"
        for parameter in sorted(declared - used):
            yield f"dataset {name}: the query has no parameter {parameter}; {nearest(parameter, used)}"


def parameters_of(dataset: dict[str, Any]) -> set[str]:
    """The parameters that it declares."""
    return {parameter["keyword"] for parameter in dataset.get("parameters", [])}


def wrong_widgets(content: dict[str, Any]) -> Iterator[str]:
    """Widgets of one name; datasets, columns, parameters, fields and queries that aren't there."""
    datasets = {dataset["name"]: dataset for dataset in content["datasets"]}
    names = list[str]()
    for page in content["pages"]:
        for placed in page["layout"]:
            widget = placed["widget"]
            if widget["name"] in names:
                yield f"two widgets are named {widget['name']}"
            names.append(widget["name"])
            for problem in wrong_queries(widget, datasets) or wrong_encodings(widget):
                yield f"widget {widget['name']}: {problem}"


def wrong_queries(widget: dict[str, Any], datasets: dict[str, dict[str, Any]]) -> list[str]:
    """What is wrong with what a widget asks."""
    problems = []
    for named in widget.get("queries", []):
        query = named["query"]
        name = query["datasetName"]
        if name not in datasets:
            problems.append(f"no dataset is named {name}; {nearest(name, datasets)}")
            continue
        columns, declared = parsed(datasets[name]).named_selects, parameters_of(datasets[name])
        expressions = [asked["expression"] for asked in [*query.get("fields", []), *query.get("orders", [])]]
        for expression in expressions:
            for column in sqlglot.parse_one(expression, dialect="databricks").find_all(exp.Column):
                if column.name not in columns:
                    problems.append(f"{name} has no column {column.name}; {nearest(column.name, columns)}")
        for parameter in query.get("parameters", []):
            if parameter["keyword"] not in declared:
                keyword = parameter["keyword"]
                problems.append(f"{name} declares no parameter {keyword}; {nearest(keyword, declared)}")
    return problems


def wrong_encodings(widget: dict[str, Any]) -> list[str]:
    """What a widget draws without having asked for it."""
    asked = {
        named["name"]: {one["name"] for one in [*query.get("fields", []), *query.get("parameters", [])]}
        for named in widget.get("queries", [])
        for query in [named["query"]]
    }
    problems = []
    for drawn in encoded(widget.get("spec", {}).get("encodings", {})):
        query, field = drawn.get("queryName", "main_query"), drawn.get("fieldName") or drawn.get("parameterName")
        if query not in asked:
            problems.append(f"no query is named {query}; {nearest(query, asked)}")
        elif field not in asked[query]:
            problems.append(f"no query asks for {field}; {nearest(str(field), asked[query])}")
    return problems


def encoded(encodings: Any) -> Iterator[dict[str, Any]]:
    """Each part of encodings that shows a field or sets a parameter."""
    if isinstance(encodings, list):
        for one in encodings:
            yield from encoded(one)
    elif isinstance(encodings, dict):
        if {"fieldName", "parameterName"} & encodings.keys():
            yield encodings
        for one in encodings.values():
            yield from encoded(one)


def wrong_places(content: dict[str, Any]) -> Iterator[str]:
    """Widgets that aren't wholly on their page, or that lie on each other."""
    for page in content["pages"]:
        places = {placed["widget"]["name"]: placed["position"] for placed in page["layout"]}
        for name, at in places.items():
            if min(at["x"], at["y"]) < 0 or min(at["width"], at["height"]) < 1 or at["x"] + at["width"] > COLUMNS:
                yield f"widget {name}: it isn't within the {COLUMNS} columns of its page"
        for (one, first), (other, second) in combinations(places.items(), 2):
            if overlap(first, second, "x", "width") and overlap(first, second, "y", "height"):
                yield f"widget {other}: it lies on {one}"


def overlap(one: dict[str, int], other: dict[str, int], begin: str, length: str) -> bool:
    """Whether two places share something in one direction."""
    return one[begin] < other[begin] + other[length] and other[begin] < one[begin] + one[length]
