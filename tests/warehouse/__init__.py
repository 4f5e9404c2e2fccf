"""A SQL warehouse of Databricks for tests: its protocol and its SQL on loopback, over the stack's Spark and Delta.

The adapter, the connector and their macros meet it as released. What is not Spark's but Unity Catalog's own is kept and
answered, and listed by name: `ONLY_A_WORKSPACE`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from databricks.sql.thrift_api.TCLIService import TCLIService
from pyspark.sql import SparkSession

from warehouse.endpoint import HTTP_PATH, Endpoint
from warehouse.service import Service
from warehouse.statements import ONLY_A_WORKSPACE, Journal, Statements
from warehouse.unity import Unity

__all__ = ["ONLY_A_WORKSPACE", "Warehouse"]


class Warehouse:
    """A warehouse that is up, until its `with` ends.

    Args:
        connect: makes a new session of Spark.
        folder: where its certificate is written.

    Attributes:
        token: what a client shows.
        client: id and secret of a service principal.
        journal: what was asked so far.
    """

    def __init__(self, connect: Callable[[], SparkSession], folder: Path) -> None:
        self.token = secrets.token_hex(16)
        self.client = (secrets.token_hex(8), secrets.token_hex(16))
        self.journal = Journal()
        unity = Unity()
        self._service = Service(connect, lambda spark: Statements(spark, unity, self.journal))
        processor = TCLIService.Processor(self._service)
        self._endpoint = Endpoint(processor, token=self.token, client=self.client, folder=folder)

    @property
    def environment(self) -> dict[str, str]:
        """What leads dbt here, as a user says it, but for who they are."""
        return {
            "DATABRICKS_HOST": self._endpoint.host,
            "DATABRICKS_HTTP_PATH": HTTP_PATH,
            "DATABRICKS_CATALOG": "main",
            "REQUESTS_CA_BUNDLE": str(self._endpoint.certificate),
        }

    @property
    def connection_parameters(self) -> dict[str, object]:
        """What a profile says besides, as the connector knows port 443 alone, and what is of no use on loopback."""
        return {
            "_connection_uri": f"https://{self._endpoint.host}{HTTP_PATH}",
            "_tls_trusted_ca_file": str(self._endpoint.certificate),
            "use_cloud_fetch": False,
            "enable_telemetry": False,
        }

    @property
    def session_configurations(self) -> list[dict[str, str]]:
        """What each client set when it opened its session: query tags among it."""
        return self._service.configurations

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._endpoint.shutdown()
        self._endpoint.server_close()
        self._service.close()
