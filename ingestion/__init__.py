"""Kafka to Bronze: every message of every captured topic lands once in a Delta table, exactly as Kafka gave it."""

from ingestion.config import Config, IngestionError
from ingestion.job import Landed, ingest_available, ingest_continuously, not_landed
from ingestion.schema import to_bronze
from ingestion.session import require_spark, spark_session

__all__ = [
    "Config",
    "IngestionError",
    "Landed",
    "ingest_available",
    "ingest_continuously",
    "not_landed",
    "require_spark",
    "spark_session",
    "to_bronze",
]
