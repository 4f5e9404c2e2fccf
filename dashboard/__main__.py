"""Command line of the dashboard: `python -m dashboard`, behind `make dashboard`."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dashboard import server
from dashboard.errors import DashboardError
from dashboard.gold import open_gold


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked, and return the exit code; what the user can mend ends in one line."""
    options = parse(arguments)
    # Spark's client writes each refused query down, with the server's stack trace; the one line says enough.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    try:
        if options.command == "queries":
            write_queries()
        else:
            serve(options.port)
    except DashboardError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(prog="dashboard", description="Gold in the browser, on this machine alone.")
    commands = parser.add_subparsers(dest="command", required=True)
    served = commands.add_parser("serve", help="show the pages until Ctrl-C")
    served.add_argument("--port", type=int, default=8501, help="port on 127.0.0.1 (default: %(default)s)")
    commands.add_parser(
        "queries", help="write the queries anew from dbt's metrics, and Databricks' dashboard from them"
    )
    return parser.parse_args(arguments)


def serve(port: int) -> None:
    """Show the pages until Ctrl-C.

    Raises:
        DashboardError: Gold can't be read, or the port is taken. Gold is asked once before a browser is there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DashboardError(f"Port {port} is taken. Choose another: make dashboard PORT={port + 1}") from error
    open_gold().query("pipeline_health")
    print(f"Gold is at http://127.0.0.1:{port} until Ctrl-C.", flush=True)
    server.serve(port)


def write_queries() -> None:
    """Write what is made from dbt's metrics. MetricFlow is for developers, so that it is asked for only here."""
    from dashboard import lakeview, metrics

    with tempfile.TemporaryDirectory() as folder:
        metrics.write(metrics.queries_of(metrics.semantic_manifest(Path(folder))), metrics.QUERIES)
    lakeview.write(lakeview.FILE)


if __name__ == "__main__":
    sys.exit(main())
