"""Kafka to Bronze: every message of every captured topic lands once in a Delta table, exactly as Kafka gave it."""

from ingestion.command_line import main
from ingestion.config import Config
from ingestion.errors import IngestionError
from ingestion.job import Landed, ingest_available, ingest_continuously, not_landed
from ingestion.lock import leave_writer_lock, take_writer_lock, writer_lock
from ingestion.schema import to_bronze
from ingestion.secret_scope import SecretStore
from ingestion.session import gone, is_gone, require_spark, spark_session

__all__ = [
    "Config",
    "IngestionError",
    "Landed",
    "SecretStore",
    "gone",
    "ingest_available",
    "ingest_continuously",
    "is_gone",
    "leave_writer_lock",
    "main",
    "not_landed",
    "require_spark",
    "spark_session",
    "take_writer_lock",
    "to_bronze",
    "writer_lock",
]
