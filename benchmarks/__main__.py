"""Command line of the benchmark: `python -m benchmarks run`, behind `make bench`, and `compare`, of two runs' files."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

import ingestion
import local
import source
from benchmarks.chain import PROJECT, BenchmarkError, own_chain
from benchmarks.figures import STAGES, Benchmark
from benchmarks.live import Course, measure_live
from benchmarks.plots import draw, draw_course
from benchmarks.results import (
    HEADINGS,
    Figure,
    ResultsError,
    compare,
    merged,
    read_figures,
    row,
    write_figures,
    write_table,
)
from benchmarks.soak import kills, soak

# Stages of `make live`, each with a stack of its own. The long ones run only if they are named.
LIVE = "live"
LONG = {"soak": soak, "kills": kills}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit code; what the user can mend ends in one line."""
    options = parse(arguments)
    try:
        return compare_files(options) if options.command == "compare" else run(options)
    except (BenchmarkError, ResultsError, local.StackError, source.SourceError, ingestion.IngestionError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="The chain's figures, each beside a reference.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="measure on a stack of its own")
    running.add_argument("--scale", type=float, default=os.environ.get("SCALE", "1"), help="of the bank (SCALE; 1)")
    running.add_argument("--repeats", type=int, default=os.environ.get("REPEATS", "3"), help="of each (REPEATS; 3)")
    running.add_argument(
        "--only", nargs="+", choices=(*STAGES, LIVE, *LONG), help="measure these; other figures stay as they were"
    )
    running.add_argument("--output", type=Path, default=PROJECT / "docs" / "benchmarks", help="folder for the results")
    running.add_argument(
        "--keep", action="store_true", default=bool(os.environ.get("KEEP")), help="keep the folder (KEEP)"
    )
    running.add_argument("--verbose", action="store_true", help="tell which tables were read, and the slowest models")
    comparing = commands.add_parser("compare", help="has a figure become worse?")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    comparing.add_argument("--tolerance", type=float, default=0.15, help="share of the old ratio (%(default)s)")
    return parser.parse_args(arguments)


def compare_files(options: argparse.Namespace) -> int:
    """Print what became of each figure; 1 when one is worse."""
    lines, is_worse = compare(read_figures(options.old), read_figures(options.new), options.tolerance)
    print("\n".join(lines))
    return int(is_worse)


def run(options: argparse.Namespace) -> int:
    """Measure, write the results, and print them."""
    # Not only Ctrl-C, so that the stack is taken down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a log has no width of its own
    started = time.monotonic()
    conditions = conditions_of(options)

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:6.0f} s[/] {line}", highlight=False)

    def detail(line: str) -> None:
        if options.verbose:
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    partial = Path(tempfile.gettempdir()) / f"financial-insights-bench-{os.getpid()}.json"
    stages = set(options.only or (*STAGES, LIVE))
    measured: list[Figure] = []
    growth: list[dict[str, Any]] = []
    memory: list[tuple[float, int]] = []
    course = Course()

    def keep(figures: list[Figure]) -> None:
        measured[:] = figures
        for one in measured:
            one.conditions = conditions
        write_figures(partial, measured)

    try:
        if stages & set(STAGES):
            say("a stack of its own comes up")
            with own_chain(keep=options.keep) as chain:
                if options.keep:
                    say(f"it is kept in {chain.folder}")
                benchmark = Benchmark(chain, options.scale, options.repeats, stages, say, detail, keep)
                benchmark.run()
                growth = [asdict(one) for one in benchmark.increments]
                memory = benchmark.memory.course if "memory" in stages else []
        for stage in (LIVE, *LONG):
            if stage in stages:
                say("another stack comes up, with the demo's bank")
                with own_chain(keep=options.keep, has_event_log=False) as chain:
                    if stage == LIVE:
                        found, course = measure_live(chain, options.scale, say)
                    else:
                        found = LONG[stage](chain, options.scale, say)
                keep([*measured, *found])
    except BaseException:
        if measured:
            console.print(as_table(measured))
            say(f"these, which were measured before it ended, are in {partial}")
        raise
    latest = options.output / "latest.json"
    figures = merged(read_figures(latest), measured) if options.only and latest.exists() else measured
    write_figures(latest, figures)
    write_table(options.output / "README.md", figures)
    draw(figures, growth, memory, options.output)
    draw_course(course, options.output)
    partial.unlink(missing_ok=True)
    say("done")
    console.print(as_table(measured))
    return 0


def conditions_of(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures were measured on, without a name of the machine."""
    return {
        "scale": options.scale,
        "repeats": options.repeats,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        **{
            name: version(package)
            for name, package in (("pyspark", "pyspark"), ("delta", "delta-spark"), ("dbt", "dbt-core"))
        },
        "date": datetime.now(UTC).date().isoformat(),
    }


def as_table(figures: list[Figure]) -> Table:
    """The figures as a terminal shows them."""
    table = Table(*HEADINGS)
    for one in figures:
        table.add_row(*(cell.replace("**missed**", "[red]missed[/]") for cell in row(one)))
    return table


if __name__ == "__main__":
    sys.exit(main())
