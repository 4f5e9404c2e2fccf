"""Command line of the job: `python -m ingestion`, and `ingestion` in the wheel."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from ingestion.config import Config, IngestionError
from ingestion.job import ingest_available, ingest_continuously
from ingestion.session import spark_session


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the job; an error that the user can mend ends in one line and exit code 1."""
    try:
        run(parse(arguments))
    except IngestionError as error:
        sys.exit(str(error))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What may be said on the command line: nothing that is secret."""
    parser = argparse.ArgumentParser(prog="ingestion", description="Land Kafka messages in Bronze Delta tables.")
    parser.add_argument(
        "--trigger",
        choices=["available-now", "continuous"],
        default="available-now",
        help="land what is there and end, or go on until interrupted (default: %(default)s)",
    )
    parser.add_argument(
        "--max-offsets-per-trigger",
        type=positive,
        metavar="N",
        help="most messages of a topic in one micro-batch",
    )
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """A whole number above zero."""
    number = int(text)
    if number <= 0:
        raise ValueError(text)
    return number


def run(options: argparse.Namespace) -> None:
    """Land messages as the options say, reporting on standard output."""
    config = Config.from_environment(
        os.environ,
        secrets=secrets_of(os.environ.get("KAFKA_SECRET_SCOPE")),
        max_offsets_per_trigger=options.max_offsets_per_trigger,
    )
    spark = spark_session()
    if options.trigger == "available-now":
        landed = ingest_available(spark, config)
        for one in landed:
            print(f"{one.table}: {one.rows} messages from {one.topic}")
        if not landed:
            print(f"No topic begins with {config.topic_prefix} yet: nothing to land.")
        return
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopping.append(received))
    ingest_continuously(spark, config, report=lambda line: print(line, flush=True), should_stop=lambda: bool(stopping))


def secrets_of(scope: str | None) -> dict[str, str]:
    """Kafka client options kept in a Databricks secret scope, by key (`sasl.jaas.config`); empty without a scope."""
    if not scope:
        return {}
    from databricks.sdk.runtime import dbutils  # only there on Databricks

    return {secret.key: dbutils.secrets.get(scope, secret.key) for secret in dbutils.secrets.list(scope)}


if __name__ == "__main__":
    main()
