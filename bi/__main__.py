"""Command line of the files for Power BI and Tableau: `python -m bi`, behind `make bi`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bi.connection import HOST, HTTP_PATH, Connection
from bi.errors import BiError
from bi.files import make, write
from bi.marts import from_manifest, read_manifest

HERE = Path(__file__).resolve().parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files and return the exit code; what the user can mend ends in one line."""
    options = parse(arguments)
    connection = Connection(options.host, options.http_path, options.catalog, options.schema, options.storage)
    try:
        gold = from_manifest(read_manifest())
        files = make(gold, connection)
    except BiError as error:
        print(error, file=sys.stderr)
        return 1
    write(files, options.folder)
    print(f"{len(files)} files of {len(gold.marts)} marts and {len(gold.metrics)} metrics are in {options.folder}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(
        prog="bi",
        description="Make the files that Power BI and Tableau open, from the marts as dbt's project declares them."
        " Without options they are what is committed; with a warehouse's address they want a folder of your own.",
    )
    parser.add_argument("--folder", type=Path, default=HERE, help="where they go (default: where they are committed)")
    parser.add_argument("--host", default=HOST, help="the SQL warehouse's server hostname")
    parser.add_argument("--http-path", default=HTTP_PATH, help="its HTTP path, /sql/1.0/warehouses/...")
    parser.add_argument("--catalog", help="the catalog that Gold is in (default: that of dbt's target prod)")
    parser.add_argument("--schema", help="the schema that Gold is in (default: that of dbt's target prod)")
    parser.add_argument(
        "--storage",
        choices=["import", "directQuery"],
        default="import",
        help="whether Power BI keeps a copy of the rows or asks the warehouse each time (default: %(default)s)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
