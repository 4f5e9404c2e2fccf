"""The loop: what moved is built, one build at a time, and maintenance fills the time between."""

from __future__ import annotations

import time
from collections.abc import Callable

import ingestion
from live.bronze import BronzeIngestion
from live.builder import Builder, Outcome, first_line
from live.errors import LiveError, SparkIsGone
from live.maintenance import Maintenance
from live.moved import MovedTables

# Seconds. Queries of one transaction's tables land within a moment of each other: one build takes them together.
SETTLE = 0.7
# How often a signal is looked for.
TICK = 0.5
# After a build that failed, before it is tried again: doubled each time, up to the last.
RETRY, LONGEST_RETRY = 5.0, 60.0
# A Spark Connect session that nobody calls ends after an hour (spark.connect.session.manager.defaultSessionTimeout).
KEEP_ALIVE = 300.0


def follow(
    bronze: BronzeIngestion,
    builder: Builder,
    moved: MovedTables,
    maintenance: Maintenance,
    *,
    keep_alive: Callable[[], None],
    report: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> None:
    """Keep Gold behind Bronze until told to stop; the build or step that runs then is finished.

    Args:
        bronze: ingestion, started.
        builder: runs dbt.
        moved: what `bronze` tells of.
        maintenance: what is done between builds.
        keep_alive: touches the builds' Spark session; raises LiveError if Spark is gone.
        report: gets one line for each build, and for each thing that failed.
        should_stop: asked between builds and steps.

    Raises:
        LiveError: ingestion ended, or Spark is gone.
    """
    everything = True
    held = set[str]()
    failures = 0
    retry_at = touched_at = time.monotonic()
    while not should_stop():
        if bronze.error is not None and ingestion.spark_ended(bronze.error):
            raise SparkIsGone
        if bronze.error is not None or not bronze.is_alive():
            raise LiveError(f"Ingestion ended: {first_line(bronze.error)}")
        may_retry = time.monotonic() >= retry_at
        if may_retry:
            moved.add(*held)
            held.clear()
        all_of_it = everything and may_retry
        is_quiet = not moved.wait(0.0) and not all_of_it
        if not is_quiet:
            if not all_of_it:
                time.sleep(SETTLE)
            tables = [name for name in moved.take() if name not in held]
            if not tables and not all_of_it:
                continue
            outcome = builder.build(None if all_of_it else tables)
            if not outcome.is_complete:
                keep_alive()
            report_build(report, "everything" if all_of_it else ", ".join(tables), outcome)
            if outcome.is_complete:
                everything = everything and not all_of_it
                failures = failures if held or everything else 0
                maintenance.built()
            else:
                # Until the retry, only other tables are built. Those of this build have to be published yet.
                held.update(outcome.failed_tables or tables)
                moved.add(*(name for name in tables if name not in held))
                failures += 1
                delay = min(RETRY * 2 ** (failures - 1), LONGEST_RETRY)
                report(f"It is tried again in {delay:.0f} s.")
                retry_at = time.monotonic() + delay
            touched_at = time.monotonic()
        if maintenance.is_due():
            for trouble in maintenance.step().troubles:
                report(trouble)
            touched_at = time.monotonic()
        elif is_quiet:
            moved.wait(TICK)
        if time.monotonic() - touched_at >= KEEP_ALIVE:
            keep_alive()
            touched_at = time.monotonic()


def report_build(report: Callable[[str], None], what: str, outcome: Outcome) -> None:
    """One line on a build, and one for each trouble."""
    if outcome.is_complete:
        report(f"Gold has {what}: {outcome.seconds:.1f} s")
    for trouble in outcome.troubles:
        report(trouble)
