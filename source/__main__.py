"""The bank's command line: `python -m source --help`. Addresses and passwords come from the environment."""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import psycopg
from rich.progress import Progress

from source import (
    SourceError,
    Summary,
    behind,
    bootstrap,
    catch_up,
    load_history,
    migrate,
    simulate,
    start_capture,
)
from source.errors import one_line

_AS_GOOD_AS_NOW = timedelta(hours=1)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SourceError(f"{message[:1].upper()}{message[1:]}. See: python -m source --help")


def _environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise SourceError(f"{name} is not set in the environment. Write it there, or source .local/env")
    return value


def _bootstrap(_: argparse.Namespace) -> None:
    bootstrap(
        _environment("SUPERUSER_URL"),
        owner_password=_environment("OWNER_PASSWORD"),
        capture_password=_environment("CAPTURE_PASSWORD"),
    )
    print("The database bank and its roles bank_owner and debezium are ready.")


def _migrate(arguments: argparse.Namespace) -> None:
    applied = migrate(_environment("DATABASE_URL"), upto=arguments.upto)
    print(f"Applied: {', '.join(applied)}" if applied else "The schema is up to date.")


def _register(_: argparse.Namespace) -> None:
    for line in start_capture(_environment("CONNECT_URL"), _environment("DATABASE_URL")):
        print(line)
    print("The connector is running.")


def _history(arguments: argparse.Namespace) -> None:
    loaded = load_history(
        _environment("DATABASE_URL"),
        seed=arguments.seed,
        customers=arguments.customers,
        days=arguments.days,
        until=datetime.now(UTC),
    )
    if loaded is None:
        print("The bank has accounts already: its history is left as it is.")
    else:
        print(
            f"Loaded {loaded.customers:,} customers, {loaded.accounts:,} accounts,"
            f" {loaded.transactions:,} transactions, {loaded.scheduled_payments:,} scheduled payments"
            f" and {loaded.purchases:,} purchases."
        )


def _simulate(arguments: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    if behind(_environment("DATABASE_URL"), now) > _AS_GOOD_AS_NOW:
        _catch_up(arguments.seed, now)
    with Progress(transient=True) as bar:
        task = bar.add_task("The bank is open", total=arguments.length)
        summary = simulate(
            _environment("DATABASE_URL"),
            seed=arguments.seed,
            rate=arguments.rate,
            length=arguments.length,
            progress=lambda summary: bar.update(task, completed=summary.seconds),
        )
    _tell(summary)


def _catch_up(seed: int, until: datetime) -> None:
    print("The bank has stood still for more than an hour: first come the days since then, 60 at the most.")
    with Progress(transient=True) as bar:
        task = bar.add_task("The bank catches up", total=None)
        summary = catch_up(
            _environment("DATABASE_URL"),
            seed=seed,
            until=until,
            progress=lambda at: bar.update(task, description=f"The bank catches up: {at:%Y-%m-%d}"),
        )
    _tell(summary)


def _tell(summary: Summary) -> None:
    print(f"{summary.events.total():,} events in {summary.seconds:.0f} s.")
    for event, count in summary.events.most_common():
        print(f"{count:8,}  {event.replace('_', ' ')}")


def _more_than_zero(word: str) -> float:
    """Checked before anything happens, for a bank that stood still is busy for a while before `simulate` begins."""
    number = float(word)
    if number <= 0:
        raise argparse.ArgumentTypeError("must be more than zero")
    return number


def _parser() -> _Parser:
    parser = _Parser(prog="python -m source", description="The bank: its database and what happens in it.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    add(
        "bootstrap",
        _bootstrap,
        "Create the database and its roles; reads SUPERUSER_URL, OWNER_PASSWORD, CAPTURE_PASSWORD.",
    )
    command = add("migrate", _migrate, "Bring the schema up to date; reads DATABASE_URL.")
    command.add_argument("--upto", metavar="NUMBER", help="stop after this migration, such as 0001")
    add(
        "register",
        _register,
        "Check that the tables can be captured, register the Debezium connector and wait until it runs;"
        " reads CONNECT_URL, DATABASE_URL.",
    )
    command = add("history", _history, "Give an empty bank a past that ends now; reads DATABASE_URL.")
    command.add_argument("--seed", type=int, default=1, help="the same seed makes the same people (default 1)")
    command.add_argument("--customers", type=int, default=300, help="how many (default 300)")
    command.add_argument("--days", type=int, default=180, help="how far back (default 180)")
    command = add(
        "simulate",
        _simulate,
        "Let the bank live on, for a while; a bank that stood still first catches up. Reads DATABASE_URL.",
    )
    command.add_argument("--seed", type=int, default=1, help="the same seed makes the same events (default 1)")
    command.add_argument("--rate", type=_more_than_zero, default=10, help="events a second, on average (default 10)")
    command.add_argument("--length", type=_more_than_zero, default=60, help="seconds (default 60)")
    return parser


def main(words: list[str] | None = None) -> int:
    """Run one command and return its exit code; what the user can mend ends in one line on stderr, and 1."""
    try:
        arguments = _parser().parse_args(words)
        arguments.run(arguments)
    except SourceError as error:
        print(error, file=sys.stderr)
    except psycopg.Error as error:
        print(f"Postgres refuses: {one_line(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
