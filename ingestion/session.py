"""The Spark session: Databricks' own, or the local stack's server."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from pyspark.sql import SparkSession

from ingestion.errors import IngestionError


def spark_session() -> SparkSession:
    """The session of the cluster this runs on, or one on the Spark Connect server that `SPARK_REMOTE` names.

    Raises:
        IngestionError: nothing listens there.
    """
    # Databricks' serverless compute sets the variable too, to a socket that its own PySpark knows ("unix:///…").
    if os.environ.get("SPARK_REMOTE", "").startswith("sc://"):
        require_spark()
    return SparkSession.builder.getOrCreate()


def require_spark() -> None:
    """See that something listens where `SPARK_REMOTE` says: Spark's client would go on trying for ten minutes.

    Raises:
        IngestionError: nothing does, or nothing is said: Spark would start a server of its own then, without Delta.
    """
    remote = os.environ.get("SPARK_REMOTE")
    if not remote:
        raise IngestionError("The local stack is not up. Start it with: make up")
    address = urlsplit(remote.partition(";")[0])
    try:
        socket.create_connection((address.hostname or "localhost", address.port or 15002), timeout=5).close()
    except OSError as error:
        raise IngestionError(
            f"Spark is not running at {address.scheme}://{address.netloc}. Start the local stack with: make up"
        ) from error
