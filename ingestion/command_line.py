"""Command line of the job, one for all places: `python -m ingestion`, the wheel's `ingestion`, or a call of `main`."""

from __future__ import annotations

import argparse
import os
import re
import signal
import threading
from collections.abc import Mapping, Sequence
from typing import NoReturn

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from ingestion.config import Config
from ingestion.errors import IngestionError
from ingestion.job import ingest_available, ingest_continuously, new_life
from ingestion.kafka_auth import METHODS, NONE, environment_name, is_secret
from ingestion.lock import writer_lock
from ingestion.secret_scope import SecretStore, kafka_secrets
from ingestion.session import spark_ended, spark_session, told_that_spark_ended

DESCRIPTION = """\
Land Kafka messages in Bronze Delta tables: every message of each topic whose name starts with a prefix, once, as it
came, in a table of the topic's own."""

EPILOG = """\
A setting in capitals is the environment variable that is read where the option is not given, or given empty.

Secrets are never options. The job takes them from the secret scope, where each has the name that Kafka gives it, or
from the environment:

  login             secrets
  plain, scram-…    sasl.username, sasl.password     (KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD)
  oauthbearer       sasl.oauthbearer.client.id, sasl.oauthbearer.client.secret, perhaps sasl.oauthbearer.scope
  any               ssl.truststore.certificates, ssl.keystore.key, or a whole sasl.jaas.config

On a laptop, after `make up` and `. .local/env`:
  python -m ingestion

On Databricks, with a login by password:
  ingestion --bootstrap-servers broker-1:9096,broker-2:9096 --kafka-auth scram-sha-512 --secret-scope bank
      --bronze-schema main.bronze --checkpoints /Volumes/main/bronze/checkpoints
"""


def main(
    arguments: Sequence[str] | None = None,
    *,
    spark: SparkSession | None = None,
    secrets: SecretStore | None = None,
) -> None:
    """Run the job; an error that the user can mend ends in one line and exit code 1.

    Args:
        arguments: the words of the command line; None is those of this process.
        spark: session to use; None is the cluster's own, or the server's that `SPARK_REMOTE` names.
        secrets: where the secret scope is read, as `dbutils.secrets`; None is Databricks' own.
    """
    try:
        run(parse(arguments), spark=spark, secrets=secrets)
    except IngestionError as error:
        # Not "during handling of": where a traceback is shown, as of a task of Databricks, it is to end with the line.
        raise SystemExit(str(error)) from None


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with what is wrong."""
        self.exit(2, f"{message}. What there is to say: {self.prog} --help\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What may be said on the command line: everything that is not secret."""
    parser = Parser(
        prog="ingestion",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    kafka = parser.add_argument_group("where messages come from")
    kafka.add_argument("--bootstrap-servers", metavar="HOST:PORT,…", help="brokers (KAFKA_BOOTSTRAP_SERVERS)")
    kafka.add_argument(
        "--topic-prefix",
        metavar="PREFIX",
        help=f"topics to land; the rest of the name is the table's (TOPIC_PREFIX, or else {Config.topic_prefix})",
    )
    kafka.add_argument(
        "--kafka-auth",
        metavar="METHOD",
        help=f"how to log in: {', '.join([NONE, *METHODS])} (KAFKA_AUTH, or else {NONE}); all but {NONE} over TLS",
    )
    kafka.add_argument(
        "--kafka-option",
        action="append",
        default=[],
        type=kafka_option,
        metavar="NAME=VALUE",
        help="an option of the Kafka client that is not secret, by Kafka's name; may be given again (KAFKA_<NAME>, "
        "with _ for each dot)",
    )
    kafka.add_argument(
        "--secret-scope", metavar="SCOPE", help="Databricks secret scope with the secrets below (KAFKA_SECRET_SCOPE)"
    )
    kafka.add_argument(
        "--service-credential",
        metavar="NAME",
        help="Unity Catalog service credential to log in with, in place of --kafka-auth, on Databricks "
        "(KAFKA_SERVICE_CREDENTIAL)",
    )
    bronze = parser.add_argument_group("where they go")
    bronze.add_argument(
        "--bronze-schema",
        metavar="SCHEMA",
        help=f"schema or catalog.schema; made where it is missing (BRONZE_SCHEMA, or else {Config.schema})",
    )
    bronze.add_argument(
        "--checkpoints",
        metavar="FOLDER",
        help="what was landed of each topic; on Databricks in a volume, /Volumes/<catalog>/<schema>/<volume>/… "
        "(CHECKPOINTS)",
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--trigger",
        choices=["available-now", "continuous"],
        default="available-now",
        help="land what is there and end, or go on until interrupted (default: %(default)s). Serverless compute has no "
        "continuous: let a continuous job run available-now again and again",
    )
    how.add_argument(
        "--max-offsets-per-trigger",
        type=positive,
        metavar="N",
        help="most messages of a topic in one micro-batch (default: no limit)",
    )
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # Only the first word, and no value: it may be a password that was put in the wrong place.
        parser.error(f"There is no {unknown[0].partition('=')[0]}" if unknown[0].startswith("-") else "A word too many")
    return options


def positive(text: str) -> int:
    """A whole number above zero."""
    number = int(text)
    if number <= 0:
        raise ValueError(text)
    return number


def kafka_option(text: str) -> tuple[str, str]:
    """Name and value of an option of the Kafka client.

    Raises:
        argparse.ArgumentTypeError: it is none, or one that holds a secret; the message never shows the value.
    """
    name, equals, value = text.partition("=")
    name = name.strip().removeprefix("kafka.").lower()
    if not equals or not re.fullmatch(r"[a-z0-9.]+", name):
        raise argparse.ArgumentTypeError("say it as NAME=VALUE, as in sasl.kerberos.service.name=kafka")
    if is_secret(name):
        raise argparse.ArgumentTypeError(
            f"{name} is secret: put it in the secret scope as {name}, or in the environment as {environment_name(name)}"
        )
    return name, value


def run(options: argparse.Namespace, *, spark: SparkSession | None, secrets: SecretStore | None) -> None:
    """Land messages as the options say, reporting on standard output."""
    environment = with_options(os.environ, options)
    scope = environment.get("KAFKA_SECRET_SCOPE")
    config = Config.from_environment(
        environment,
        secrets=kafka_secrets(scope, secrets) if scope else None,
        max_offsets_per_trigger=options.max_offsets_per_trigger,
    )
    spark = spark or spark_session()
    with writer_lock(config.schema, "ingestion", spark):
        try:
            land(options, config, spark)
        except PySparkException as error:
            if not spark_ended(error):
                raise
            raise IngestionError(told_that_spark_ended()) from None


def land(options: argparse.Namespace, config: Config, spark: SparkSession) -> None:
    """Land what is there, or go on until interrupted."""
    if options.trigger == "available-now":
        landed = ingest_available(spark, config)
        for one in landed:
            if one.life.is_new:
                print(new_life(one.topic, one.life))
            print(f"{one.table}: {one.rows} messages from {one.topic}")
        if not landed:
            print(f"No topic begins with {config.topic_prefix} yet: nothing to land.")
        return
    stopping: list[int] = []
    if threading.current_thread() is threading.main_thread():  # elsewhere Python lets nobody listen for signals
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: stopping.append(received))
    ingest_continuously(spark, config, report=lambda line: print(line, flush=True), should_stop=lambda: bool(stopping))


def with_options(environment: Mapping[str, str], options: argparse.Namespace) -> dict[str, str]:
    """The environment as it would be had it said what the command line says."""
    said = {
        "KAFKA_BOOTSTRAP_SERVERS": options.bootstrap_servers,
        "TOPIC_PREFIX": options.topic_prefix,
        "KAFKA_AUTH": options.kafka_auth,
        "KAFKA_SECRET_SCOPE": options.secret_scope,
        "KAFKA_SERVICE_CREDENTIAL": options.service_credential,
        "BRONZE_SCHEMA": options.bronze_schema,
        "CHECKPOINTS": options.checkpoints,
        **{environment_name(name): value for name, value in options.kafka_option},
    }
    # A job's parameter that nobody set comes as an empty text.
    return {**environment, **{name: value for name, value in said.items() if value}}
