"""How many bytes Spark read, from its event log (spark.eventLog.enabled, one JSON object a line)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read_by_table(lines: Iterable[str], started: float, ended: float) -> Counter[str]:
    """Bytes that tasks read, of the jobs that were submitted between two times.

    Args:
        lines: the log's.
        started: seconds since 1970.
        ended: seconds since 1970.

    Returns:
        Bytes by the tables that the task's stage scans.
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
    scopes = " ".join(rdd.get("Scope", "") for rdd in stage["RDD Info"])
    names = {match.replace("spark_catalog.", "") for match in re.findall(r"Scan parquet ([\w.]+)", scopes)}
    if not names and ("Scan json" in scopes or "_delta_log" in scopes):
        return "Delta's log"
    return " + ".join(sorted(names)) or "no table"


def read_since(log: Path, position: int, started: float, ended: float) -> Counter[str]:
    """The same, of what was written to a log's file after a position."""
    with log.open() as file:
        file.seek(position)
        return read_by_table(file, started, ended)
