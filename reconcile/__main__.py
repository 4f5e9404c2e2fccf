"""Command line of the reconciliation: `python -m reconcile`, behind `make reconcile`.

It exits with 0 when all is equal, with 1 when something differs or a table's changes are not captured, and with 2 when
it could not compare.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
from pyspark.errors import PySparkException
from rich.console import Console

import ingestion
import source
from reconcile.check import reconcile
from reconcile.errors import ReconcileError
from reconcile.gold import MARTS
from reconcile.lag import lag
from reconcile.project import Project, read_project
from reconcile.report import differences, mending, summary
from reconcile.resnapshot import read_again
from reconcile.stores import Bank, Lake
from source.errors import one_line

EQUAL, DIFFERENT, NOT_COMPARED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print what came of it, and return the exit code; what the user can mend ends in one line."""
    options = parse(arguments)
    try:
        return int(options.run(options))
    except (ReconcileError, source.SourceError, ingestion.IngestionError) as error:
        print(error, file=sys.stderr)
    except psycopg.Error as error:
        print(f"Postgres refuses: {one_line(error)}", file=sys.stderr)
    except PySparkException as error:
        print(f"Spark fails: {one_line(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return NOT_COMPARED


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(
        prog="reconcile",
        description="Compare Silver and Gold with the bank. To be run after ingestion and dbt run: it builds nothing.",
    )
    parser.add_argument("--lsn", help="wait until capture has come to this place in the bank's log (default: its end)")
    parser.add_argument("--limit", type=int, default=20, help="most keys named of each table (default: %(default)s)")
    parser.set_defaults(run=run)
    again = parser.add_subparsers(metavar="command").add_parser(
        "resnapshot",
        help="read tables, or rows of one, again from the bank, and bring them to Silver and Gold",
    )
    again.add_argument("tables", nargs="+", metavar="table", help="of schema public, or schema.table")
    again.add_argument("--keys", help="only the rows with these keys, with commas between them")
    again.add_argument("--where", help="only the rows that meet this condition, in Postgres's SQL")
    again.add_argument(
        "--timeout", type=float, default=120, help="seconds without a word from the connector (default: %(default)s)"
    )
    again.set_defaults(run=resnapshot)
    return parser.parse_args(arguments)


def resnapshot(options: argparse.Namespace) -> int:
    """Read tables again from the bank."""
    return read_again(options.tables, keys=options.keys, where=options.where, timeout=options.timeout)


def run(options: argparse.Namespace) -> int:
    """Wait for capture, compare one moment of the bank with what is there, and print it."""
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a log has no width of its own
    # Spark's client writes each refused query down, with the server's stack trace; the one line says enough.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    with console.status("Reading dbt's project") as progress:
        project = read_project()
        database_url, lake = stores()
        with source.connect(database_url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            # The first statement takes the snapshot, and then reads where the log ends: no change that the snapshot
            # sees comes after that.
            row = connection.execute("select pg_current_wal_insert_lsn()::text").fetchone()
            moment = datetime.now(UTC)
            progress.update("Waiting for capture")
            lsn = source.wait_until_captured(database_url, options.lsn or (row[0] if row else None))
            bank = Bank(connection, day=moment.date())
            broken = source.findings(connection)
            results = []
            progress.update("Comparing")
            for result in reconcile(project, bank, lake, limit=options.limit):
                results.append(result)
                progress.update(f"Comparing: {result.comparison.table} is done")
    console.print(f"The bank at {moment:%Y-%m-%d %H:%M:%S} UTC, captured up to {lsn}:", highlight=False)
    console.print(summary(results))
    notes = [f"{result.comparison.table}: {note}" for result in results for note in result.comparison.notes]
    for line in notes + not_compared(project):
        console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)
    different = [result for result in results if not result.is_equal]
    for result in different:
        console.print(differences(result))
    for finding in broken:
        # What is equal today would not stay so.
        console.print(f"Capture is broken: {finding}", style="red", highlight=False, markup=False, soft_wrap=True)
    if broken and not different:
        return DIFFERENT
    if not different:
        console.print("[green]✓[/] Silver and Gold are what the bank says.")
        return EQUAL
    with console.status("Looking for what has not landed"):
        lines = lag(project, lake)
    real = f"All that the bank committed up to {lsn} has landed: these differences are real."
    for line in lines or [real, *mending(different)]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return DIFFERENT


def stores() -> tuple[str, Lake]:
    """The bank's URL, and a session of Spark.

    Raises:
        ReconcileError, IngestionError: it isn't said where one of them is, or Spark does not answer.
    """
    database_url = os.environ.get("DATABASE_URL")
    if not database_url:
        raise ReconcileError(
            "The local stack is not up. Start it with: make up; for another bank, set DATABASE_URL in the environment."
        )
    if os.environ.get("DBT_TARGET", "local") == "local":
        ingestion.require_spark()
    return database_url, Lake(ingestion.spark_session())


def not_compared(project: Project) -> list[str]:
    """A line on what the project has and the comparison leaves out."""
    lines = []
    if project.passed_over:
        lines.append(f"Not compared, as they aren't one table of the bank's: {', '.join(project.passed_over)}")
    if unknown := [mart.name for mart in project.marts if mart.name not in MARTS]:
        lines.append(f"Not compared, as reconcile/gold.py has no SQL for them: {', '.join(unknown)}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
