"""Command line of the embedded stack: `python -m local`, behind the Makefile's targets."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

import ingestion
import source
from local.demo import demo, open_bank
from local.home import Home, StackError
from local.jars import install_jars, write_checksums
from local.live import live
from local.stack import down, status, up


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; an error that the user can mend ends in one line and exit code 1."""
    parser = argparse.ArgumentParser(prog="local", description="The embedded stack.")
    parser.add_argument("command", choices=list(COMMANDS))
    command = parser.parse_args(arguments).command
    try:
        COMMANDS[command](Home.from_environment())
    except (StackError, source.SourceError, ingestion.IngestionError) as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        if command == "live":
            print("\nStopped. Nothing is lost: make live goes on from here. make down stops the stack as well.")
            return
        sys.exit(f"\nInterrupted. Nothing is lost: run it again with: make {command}")


def jars(home: Home) -> None:
    """Bring the jars of Kafka, Connect, Debezium and Delta."""
    console = Console()
    with console.status("Kafka, Connect, Debezium and Delta from Maven Central (minutes, the first time)"):
        count = install_jars()
    console.print(f"[green]✓[/] {count} jars, each as recorded in local/jars.sha256")


def lock_jars(home: Home) -> None:
    """Renew local/jars.sha256 after a change of local/ivy.xml."""
    write_checksums()


def start(home: Home) -> None:
    """Start the stack, with an empty bank and its capture."""
    console = Console()
    with console.status("Starting Postgres, Kafka, Connect and Spark") as progress:
        environment = up(home, progress.update)
        progress.update("opening the bank")
        open_bank(home, environment["DATABASE_URL"])
        left_out = source.start_capture(environment["CONNECT_URL"], environment["DATABASE_URL"])
    for line in left_out:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for service, port in home.moved_ports().items():
        console.print(f"The usual port of {service} is taken: it listens on {port}.")
    console.print(f"[green]✓[/] The stack is up. Connection settings are in {home.env_file}")


def follow_bank(home: Home) -> None:
    """Start the stack where it isn't up, and keep Gold behind the bank until Ctrl-C."""
    start(home)
    live(home)


def stop(home: Home) -> None:
    """Stop the stack."""
    with Console().status("Stopping"):
        down(home)
    Console().print("[green]✓[/] The stack is down. The data stays.")


def show_status(home: Home) -> None:
    """Print the state of each service, and end in a line for each table that capture does not carry as it is."""
    services = status(home)
    if not services:
        raise StackError("The stack is not up. Start it with: make up")
    table = Table("service", "state", "pid", "for", "log")
    for service in services:
        seconds = int(time.time()) - service["start"] if service["statename"] == "RUNNING" else 0
        table.add_row(
            service["name"],
            service["statename"],
            str(service["pid"]),
            f"{seconds} s",
            service["stdout_logfile"],
        )
    Console().print(table)
    if database_url := home.read_env().get("DATABASE_URL"):
        with source.connect(database_url) as connection:
            source.refuse(source.findings(connection))


def follow_logs(home: Home) -> None:
    """Print the services' logs as they grow, until interrupted."""
    logs = sorted(str(log) for log in home.logs.glob("*.log"))
    if not logs:
        raise StackError("There are no logs yet. Start the stack with: make up")
    subprocess.run(["tail", "-n", "20", "-F", *logs], check=False)


COMMANDS = {
    "jars": jars,
    "lock-jars": lock_jars,
    "up": start,
    "down": stop,
    "status": show_status,
    "logs": follow_logs,
    "demo": demo,
    "live": follow_bank,
}

if __name__ == "__main__":
    main()
