"""What a query of Gold becomes so that it reads what one run published."""

from __future__ import annotations

from datetime import datetime

import pandas
import pytest
from sqlglot import parse_one

from dashboard.errors import DashboardError, NotAllowedError
from dashboard.gold import Gold
from dashboard.published import Publication

VIEWS = {
    "gold.summary": "with rows as (select * from silver.stg) select * from rows",
    "silver.stg": "select * from silver.history where is_current",
}
PUBLISHED = Publication(
    run_number=7,
    published_at=datetime(2026, 1, 1),
    versions={"silver.history": 3, "gold.days": 4},
    marts=frozenset({"summary", "days"}),
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select * from days", "select * from days version as of 4 as `days`"),
        ("select d.x from days as d", "select d.x from days version as of 4 as d"),
        (
            "select summary.x from summary join days on true",
            "select summary.x from (with rows as (select * from (select * from silver.history version as of 3"
            " as `history` where is_current) as `stg`) select * from rows) as `summary`"
            " join days version as of 4 as `days` on true",
        ),
        # A CTE of the query's own hides the mart of its name.
        ("with days as (select 1 as x) select * from days", "with days as (select 1 as x) select * from days"),
        # No mart: read as it is.
        ("select * from published_marts", "select * from published_marts"),
        ("select 'from days' as text", "select 'from days' as text"),
    ],
)
def test_each_table_is_read_as_of_its_version(query: str, expected: str) -> None:
    pinned = PUBLISHED.as_published(query, "gold", VIEWS.get)
    assert parse_one(pinned, read="databricks") == parse_one(expected, read="databricks")


class OneMayNotReadSilver:
    """A store whose reader has Gold's views alone, as Unity Catalog grants them. No such reader exists locally."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    def rows(self, query: str) -> pandas.DataFrame:
        self.queries.append(query)
        if query.startswith("describe"):
            return pandas.DataFrame([['{"view_text": "select * from silver.history"}']])
        if "silver." in query:
            raise NotAllowedError("INSUFFICIENT_PERMISSIONS")
        return pandas.DataFrame({"x": [1]})


def test_a_reader_of_golds_views_alone_gets_them_as_they_are() -> None:
    store = OneMayNotReadSilver()
    gold = Gold(store, "gold")
    assert gold.sql("select * from summary", PUBLISHED).x.tolist() == [1]
    store.queries.clear()
    assert gold.sql("select * from summary", PUBLISHED).x.tolist() == [1]
    assert store.queries == ["select * from summary"], "it is not tried again"


def test_another_error_is_told() -> None:
    class Broken(OneMayNotReadSilver):
        def rows(self, query: str) -> pandas.DataFrame:
            raise DashboardError("Spark doesn't answer")

    with pytest.raises(DashboardError, match="doesn't answer"):
        Gold(Broken(), "gold").sql("select * from days", PUBLISHED)
