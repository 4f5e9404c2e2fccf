"""Kafka to Bronze: every message of every captured topic lands once in a Delta table, exactly as Kafka gave it."""

from ingestion.command_line import main
from ingestion.config import Config, last_part
from ingestion.errors import IngestionError
from ingestion.job import Landed, MicroBatch, ingest_available, ingest_continuously, not_landed
from ingestion.lock import leave_writer_lock, take_writer_lock, writer_lock
from ingestion.schema import to_bronze
from ingestion.secret_scope import SecretStore
from ingestion.session import (
    close_session,
    give_up_now,
    new_spark_session,
    require_spark,
    spark_ended,
    spark_session,
    told_that_spark_ended,
)

__all__ = [
    "Config",
    "IngestionError",
    "Landed",
    "MicroBatch",
    "SecretStore",
    "close_session",
    "give_up_now",
    "ingest_available",
    "ingest_continuously",
    "last_part",
    "leave_writer_lock",
    "main",
    "new_spark_session",
    "not_landed",
    "require_spark",
    "spark_ended",
    "spark_session",
    "take_writer_lock",
    "to_bronze",
    "told_that_spark_ended",
    "writer_lock",
]
