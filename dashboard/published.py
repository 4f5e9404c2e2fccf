"""Reading the marts of one run together, while the next run writes.

A run publishes which Delta versions its marts are read from (models/publication/published_marts.sql). A mart is a view
for the most part, and a view can't be asked for as of a version, but the tables behind it can: a query is given each
view's definition in its place, with versions on the tables. See docs/decisions/0026.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import sqlglot
from sqlglot import exp

# From the run on that was the newest before, so that only the newest files are read.
NEWEST = """
select mart, map_entries(table_versions) as table_versions, published_at, _run_number as run_number
from published_marts
where _run_number >= {known}
"""


@dataclass(frozen=True)
class Publication:
    """What one run published.

    Attributes:
        run_number: the run's.
        published_at: when, UTC.
        versions: the Delta version of each table, by its name with its schema.
        marts: names of the marts.
    """

    run_number: int
    published_at: datetime
    versions: Mapping[str, int] = field(hash=False)
    marts: frozenset[str] = field(hash=False)

    def as_published(self, sql: str, schema: str, definition: Callable[[str], str | None]) -> str:
        """A query of marts, with what this run published in place of each.

        Args:
            sql: the query, in Databricks' SQL; it names marts without their schema.
            schema: the marts' schema, with its catalog on Databricks.
            definition: the SQL of a view, by its name with its schema; None of what is no view.
        """
        return self._pinned(sql, schema, definition)

    def _pinned(self, sql: str, schema: str, definition: Callable[[str], str | None]) -> str:
        for table, start, end in reversed(tables_of(sql)):
            name = ".".join(part.name for part in table.parts)
            if "." not in name:
                if name not in self.marts:
                    continue
                name = f"{schema}.{name}"
            if name in self.versions:
                pinned = f"{sql[start:end]} version as of {self.versions[name]}"
                # `version as of` comes before an alias, and takes the name that the table is spoken of by.
                pinned += "" if table.alias else f" as {sql_name(table.name)}"
            elif view := definition(name):
                pinned = f"(\n{self._pinned(view, schema, definition)}\n)"
                pinned += "" if table.alias else f" as {sql_name(table.name)}"
            else:
                continue
            sql = f"{sql[:start]}{pinned}{sql[end:]}"
        return sql


def tables_of(sql: str) -> list[tuple[exp.Table, int, int]]:
    """The tables that a query reads, in order: each with where its name begins, and where the next character is."""
    parsed = sqlglot.parse_one(sql, read="databricks")
    named = {cte.alias for cte in parsed.find_all(exp.CTE)}
    found = []
    for table in parsed.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and (table.db or table.name not in named):
            parts = table.parts
            found.append((table, parts[0].meta["start"], parts[-1].meta["end"] + 1))
    return sorted(found, key=lambda one: one[1])


def sql_name(name: str) -> str:
    """A name as SQL takes it."""
    return f"`{name.replace('`', '``')}`"
