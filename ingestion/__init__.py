"""Kafka to Bronze: every message of every captured topic lands once in a Delta table, exactly as Kafka gave it."""

from ingestion.command_line import main
from ingestion.config import Config
from ingestion.errors import IngestionError
from ingestion.job import Landed, ingest_available, ingest_continuously, not_landed
from ingestion.schema import to_bronze
from ingestion.secret_scope import SecretStore
from ingestion.session import require_spark, spark_session

__all__ = [
    "Config",
    "IngestionError",
    "Landed",
    "SecretStore",
    "ingest_available",
    "ingest_continuously",
    "main",
    "not_landed",
    "require_spark",
    "spark_session",
    "to_bronze",
]
