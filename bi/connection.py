"""Where the files say that Gold is. Who logs in, and how, both programs ask; no file has a place for it."""

from __future__ import annotations

from dataclasses import dataclass

# What stands in the committed files. Not empty: it tells a reader of Power BI's parameters what to enter.
HOST = "enter the server hostname of the SQL warehouse"
HTTP_PATH = "enter the HTTP path of the SQL warehouse"


@dataclass(frozen=True)
class Connection:
    """A SQL warehouse, and the catalog and schema that it finds Gold in.

    Attributes:
        host: the warehouse's server hostname, without a scheme.
        http_path: the warehouse's HTTP path, /sql/1.0/warehouses/….
        catalog: Unity Catalog's catalog; None for that of dbt's target `prod`.
        schema: the schema; None for that of dbt's target `prod`.
        storage: Power BI's storage mode, `import` or `directQuery`.
    """

    host: str = HOST
    http_path: str = HTTP_PATH
    catalog: str | None = None
    schema: str | None = None
    storage: str = "import"
