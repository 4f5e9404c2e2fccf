"""Databricks' dashboard is made from the queries, holds together, and lets a reader choose what its queries ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundle.checks import dashboards

from dashboard import lakeview
from dashboard.gold import QUERIES

CONTENT: dict[str, Any] = json.loads(lakeview.FILE.read_text())
DATASETS = {dataset["name"]: dataset for dataset in CONTENT["datasets"]}
PAGES = {page["displayName"]: page for page in CONTENT["pages"]}


def sql_of(dataset: dict[str, Any]) -> str:
    return "".join(dataset["queryLines"])


def widgets_of(page: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for placed in page["layout"]:
        yield placed["widget"]


def test_the_file_is_what_the_queries_make(tmp_path: Path) -> None:
    lakeview.write(tmp_path / "made.json")
    assert (tmp_path / "made.json").read_bytes() == lakeview.FILE.read_bytes(), (
        f"{lakeview.FILE.name} isn't what the queries make now. Write it anew: make queries"
    )


def test_the_pages_are_those_of_the_local_dashboard() -> None:
    assert list(PAGES) == ["Overview", "Transactions", "Customer", "Products", "Scheduled payments", "Pipeline"]


@pytest.mark.parametrize("name", DATASETS)
def test_there_is_one_definition_of_each_query(name: str) -> None:
    (sql,) = (file.read_text() for file in QUERIES.rglob(f"{name}.sql"))
    if name in {choice.options for choice in lakeview.CHOICES.values()}:
        assert sql in sql_of(DATASETS[name])
    else:
        assert sql_of(DATASETS[name]) == sql


def test_what_widgets_ask_for_is_there() -> None:
    """By the bundle's checks, each of which test_bundle.py sees fail."""
    assert [*dashboards.wrong_datasets(CONTENT), *dashboards.wrong_widgets(CONTENT)] == []


@pytest.mark.parametrize("title", PAGES)
def test_widgets_fill_their_page(title: str) -> None:
    assert list(dashboards.wrong_places(CONTENT)) == []
    rows: dict[int, list[dict[str, int]]] = {}
    for placed in PAGES[title]["layout"]:
        rows.setdefault(placed["position"]["y"], []).append(placed["position"])
    assert {y: sum(at["width"] for at in row) for y, row in rows.items()} == dict.fromkeys(rows, 6)
    ends = {y + max(at["height"] for at in row) for y, row in rows.items()}
    assert {0, *ends} == {*rows, max(ends)}


def test_names_are_databricks_own_kind() -> None:
    names = [CONTENT["datasets"], CONTENT["pages"], [widget for page in PAGES.values() for widget in widgets_of(page)]]
    for kind in names:
        found = [one["name"] for one in kind]
        assert len(set(found)) == len(found)
        assert [name for name in found if not re.fullmatch(r"[a-z0-9_-]{1,60}", name)] == []


@pytest.mark.parametrize("title", PAGES)
def test_a_filter_is_for_all_queries_of_its_page(title: str) -> None:
    bound: dict[str, set[str]] = {}
    asked: dict[str, set[str]] = {}
    for widget in widgets_of(PAGES[title]):
        for named in widget.get("queries", []):
            query = named["query"]
            for parameter in query.get("parameters", []):
                bound.setdefault(parameter["keyword"], set()).add(query["datasetName"])
            for parameter in DATASETS[query["datasetName"]].get("parameters", []):
                asked.setdefault(parameter["keyword"], set()).add(query["datasetName"])
    # These pages show all categories.
    if title in ("Overview", "Customer"):
        del asked["category"]
    assert bound == asked


def test_what_is_chosen_from_has_all_in_it() -> None:
    for parameter, choice in lakeview.CHOICES.items():
        if choice.options:
            assert sql_of(DATASETS[choice.options]).startswith(f"select 'all' as {parameter}\nunion all\n")
            assert choice.default == "all"


def test_every_widget_says_what_it_shows() -> None:
    for page in PAGES.values():
        (about, *others) = widgets_of(page)
        assert about["multilineTextboxSpec"]["lines"]
        assert all(other["spec"]["frame"]["title"] and other["spec"]["frame"]["showTitle"] for other in others)
