"""Command line of the service, one for all places: `python -m live`, the wheel's `live`, or a call of `main`."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

import ingestion
from live.bronze import BronzeIngestion
from live.builder import Builder, first_line
from live.errors import LiveError, SparkIsGone
from live.maintenance import Maintenance
from live.moved import MovedTables
from live.service import follow

PROJECT = Path(__file__).resolve().parent.parent
COMMAND = "make live"
# EX_TEMPFAIL of sysexits.h: it may work when it is started again. The stack's supervisor does that after any exit.
TRY_AGAIN = 75
# Seconds for the streaming queries to end their micro-batches.
STOP_SECONDS = 30.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Keep Gold behind the bank until SIGTERM or SIGINT; what a person can mend ends in one line and exit code 1."""
    options = parse(arguments)
    if options.wait is not None:
        os.environ["WRITER_WAIT"] = str(options.wait)
    try:
        run(options)
    except KeyboardInterrupt:
        sys.exit(130)
    except SparkIsGone as error:
        say(str(error))
        sys.exit(TRY_AGAIN)
    except (LiveError, ingestion.IngestionError) as error:
        say(str(error))
        sys.exit(1)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(prog="live", description="Gold follows the bank until it is stopped.")
    parser.add_argument("--project-dir", type=Path, default=PROJECT, help="dbt's project (default: this one)")
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        help="wait for another process that writes the same tables (WRITER_WAIT)",
    )
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Start ingestion and follow it."""
    stopping = threading.Event()
    config = ingestion.Config.from_environment(os.environ)
    # In this order: dbt-spark takes the session that was made last.
    ingesting = ingestion.new_spark_session()
    building = ingestion.new_spark_session()
    # A micro-batch has few rows: to compile Java for each takes longer than what the compiled code saves.
    ingesting.conf.set("spark.sql.codegen.wholeStage", "false")
    ingesting.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    with contextlib.ExitStack() as at_the_end:
        for session in (ingesting, building):
            at_the_end.callback(ingestion.close_session, session)
        silver = os.environ.get("DBT_SCHEMA") or "silver"
        at_the_end.enter_context(ingestion.writer_lock(silver, COMMAND, building))
        at_the_end.enter_context(ingestion.writer_lock(config.schema, COMMAND, ingesting))
        # Not before: who waits for another writer can leave at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, frame: stopping.set())
        builder = Builder(options.project_dir)
        moved = MovedTables()
        bronze = BronzeIngestion(ingesting, config, landed=moved.add, report=say)
        bronze.start()
        say("Gold follows the bank. Stop it with Ctrl-C.")
        try:
            follow(
                bronze,
                builder,
                moved,
                Maintenance(builder, builder.tables),
                keep_alive=lambda: touch(building),
                report=say,
                should_stop=stopping.is_set,
            )
        except SparkIsGone:
            # No goodbye: it would be tried for as long as the session asks again.
            for session in (ingesting, building):
                ingestion.give_up_now(session)
            raise
        finally:
            bronze.stop(STOP_SECONDS)
    say("Stopped. Nothing is lost: make live goes on from here.")


def touch(spark: SparkSession) -> None:
    """Call the session, so that the server keeps it.

    Raises:
        SparkIsGone: the server is gone, or is another one.
    """
    try:
        spark.sql("select 1").collect()
    except PySparkException as error:
        if ingestion.spark_ended(error):
            raise SparkIsGone from None
        raise LiveError(f"Spark has trouble: {first_line(error)}") from None


def say(line: str) -> None:
    """Print a line with the time."""
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)
