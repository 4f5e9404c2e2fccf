"""The Spark session: Databricks' own, or the local stack's server."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from pyspark.sql import SparkSession

from ingestion.config import IngestionError


def spark_session() -> SparkSession:
    """The session of the cluster this runs on, or one on the Spark Connect server that `SPARK_REMOTE` names.

    Raises:
        IngestionError: nothing listens there. Asked first, as the client goes on trying for ten minutes.
    """
    remote = os.environ.get("SPARK_REMOTE")
    if remote:
        address = urlsplit(remote.partition(";")[0])
        try:
            socket.create_connection((address.hostname or "localhost", address.port or 15002), timeout=5).close()
        except OSError as error:
            raise IngestionError(
                f"Spark is not running at {address.scheme}://{address.netloc}. Start the local stack with: make up"
            ) from error
    return SparkSession.builder.getOrCreate()
