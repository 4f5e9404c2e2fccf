"""What a command cost Spark, from its event log (spark.eventLog.enabled, one JSON object a line)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Parts of the names of events, as a line of the log has them.
STATEMENT = 'SparkListenerConnectOperationStarted"'
JOB = '"SparkListenerJobStart"'
TASK = '"SparkListenerTaskEnd"'


@dataclass(frozen=True)
class SparkCost:
    """Counts do not depend on how busy the machine is. `cpu_seconds` is the tasks' own CPU time, without planning."""

    statements: int
    jobs: int
    tasks: int
    cpu_seconds: float


def cost_between(lines: Iterable[str], started: float, ended: float) -> SparkCost:
    """The cost of all that was sent to Spark between two times.

    Args:
        lines: the log's.
        started: seconds since 1970.
        ended: seconds since 1970.
    """
    statements = jobs = tasks = 0
    nanoseconds = 0
    stages: set[int] = set()
    for line in lines:
        name = line[:120]
        # Only these lines are parsed. Most others are long.
        if STATEMENT in name:
            event = json.loads(line)
            # An operation without SQL, such as a question about a setting, is no statement.
            is_sql = "query:" in event["statementText"]
            statements += is_sql and started <= event["eventTime"] / 1000 <= ended
        elif JOB in name:
            event = json.loads(line)
            if started <= event["Submission Time"] / 1000 <= ended:
                jobs += 1
                stages.update(event["Stage IDs"])
        elif TASK in name:
            event = json.loads(line)
            if event["Stage ID"] in stages:
                tasks += 1
                nanoseconds += event.get("Task Metrics", {}).get("Executor CPU Time", 0)
    return SparkCost(statements, jobs, tasks, nanoseconds / 1e9)


def cost_since(log: Path, position: int, started: float, ended: float) -> SparkCost:
    """The same, of what was written to a log's file after a position."""
    with log.open() as file:
        file.seek(position)
        return cost_between(file, started, ended)
