"""How many bytes Spark read, from its event log (spark.eventLog.enabled, one JSON object a line)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FILES = re.compile(r"Scan (parquet|json)\b")
DELTA_LOG = "Delta's log"
# Spark counts as read what a task takes from blocks that Spark holds: Delta's state, and the source of a merge.
IN_MEMORY = "blocks in memory"


def read_by_table(lines: Iterable[str], started: float, ended: float) -> Counter[str]:
    """Bytes that tasks read, of the jobs that were submitted between two times.

    Args:
        lines: the log's.
        started: seconds since 1970.
        ended: seconds since 1970.

    Returns:
        Bytes by the tables that the task's stage scans; `IN_MEMORY` is what was read of no file.
    """
    tables: dict[int, str] = {}
    found: Counter[str] = Counter()
    for line in lines:
        # Most of a log is plans and ends of stages: looked at before it is parsed.
        if line.startswith('{"Event":"SparkListenerJobStart"'):
            event = json.loads(line)
            if started <= event["Submission Time"] / 1000 <= ended:
                for stage in event["Stage Infos"]:
                    tables.setdefault(stage["Stage ID"], scanned(stage))
        elif line.startswith('{"Event":"SparkListenerTaskEnd"'):
            event = json.loads(line)
            if event["Stage ID"] in tables:
                size = event.get("Task Metrics", {}).get("Input Metrics", {}).get("Bytes Read", 0)
                found[tables[event["Stage ID"]]] += size
    return found


def scanned(stage: dict[str, Any]) -> str:
    """The tables that a stage scans, by the names of its RDDs' scopes."""
    scopes = [json.loads(rdd["Scope"])["name"] for rdd in stage["RDD Info"] if "Scope" in rdd]
    scans = [name.removeprefix("Scan parquet ").replace("spark_catalog.", "") for name in scopes if FILES.match(name)]
    # Delta's own scans of its log name no table.
    return " + ".join(sorted({name if "." in name else DELTA_LOG for name in scans})) or IN_MEMORY


def read_since(log: Path, position: int, started: float, ended: float) -> Counter[str]:
    """The same, of what was written to a log's file after a position."""
    with log.open() as file:
        file.seek(position)
        return read_by_table(file, started, ended)
