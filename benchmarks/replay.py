"""The statements of a `dbt run`, sent straight to the engine: `python -m benchmarks.replay <dbt.log> <threads>`.

The log is dbt's, as JSON (`--log-format-file json`). A node's statements go one after the other, nodes beside
each other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyspark.sql import SparkSession


def statements(log: Iterable[str]) -> dict[str, list[str]]:
    """The SQL in a log of dbt, by the node it was sent for, in its order."""
    found: dict[str, list[str]] = {}
    for line in log:
        event = json.loads(line)
        if event["info"]["name"] == "SQLQuery":
            found.setdefault(event["data"]["conn_name"], []).append(event["data"]["sql"])
    return found


def send(spark: SparkSession, queries: list[str]) -> None:
    """Send one after the other. A command runs when it is sent, a query when its rows are asked for."""
    for query in queries:
        spark.sql(query).collect()


def main(log: str, threads: int) -> None:
    """Send what dbt asked before its nodes, then the nodes."""
    with Path(log).open() as file:
        found = statements(file)
    spark = SparkSession.builder.getOrCreate()
    nodes = {name: queries for name, queries in found.items() if name.startswith("model.")}
    with ThreadPoolExecutor(threads) as pool:
        for group in ([queries for name, queries in found.items() if name not in nodes], list(nodes.values())):
            list(pool.map(lambda queries: send(spark, queries), group))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
