"""Two writers at once: the second waits or is refused in one line, and whatever was killed leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pipeline import PROJECT, Stack, wait_for
from pyspark.errors import PySparkException

import ingestion
from ingestion.job import start
from ingestion.lives import Life
from local.jars import JAVA

# Tables and locks of these tests' own.
OWN = {"TOPIC_PREFIX": "atonce.", "BRONZE_SCHEMA": "atonce_bronze", "DBT_SCHEMA": "atonce"}

HOLD = """
import sys
from ingestion import take_writer_lock
take_writer_lock(sys.argv[1], "dbt run")
print("held", flush=True)
sys.stdin.read()
"""

STATEMENT = """
import sys
from ingestion import spark_session, take_writer_lock
spark = spark_session()
take_writer_lock(sys.argv[1], "dbt run", spark)
spark.sql(sys.argv[2]).collect()
"""


@pytest.fixture(scope="module")
def own(stack: Stack) -> Iterator[dict[str, str]]:
    """The environment of these tests: a topic with one message, and checkpoints."""
    stack.send("atonce.letters", [(b"1", b"a")])
    yield {**OWN, "CHECKPOINTS": str(stack.work / "atonce" / "checkpoints")}
    for schema in ("atonce_bronze", "atonce_silver", "atonce_gold"):
        stack.spark.sql(f"drop schema if exists {schema} cascade")


def start_process(stack: Stack, own: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=PROJECT,
        env={**stack.clean_environment(), **stack.environment, **own},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_second_ingestion_names_the_first_and_a_killed_one_holds_up_nothing(
    stack: Stack, own: dict[str, str]
) -> None:
    first = start_process(stack, own, "-m", "ingestion", "--trigger", "continuous")
    assert first.stdout is not None
    assert "lands in" in first.stdout.readline()
    try:
        second = stack.run("ingestion", environment=own)
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 1
    assert second.stderr.strip().count("\n") == 0
    said = rf"ingestion \(process {first.pid}\) has been running since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. .*"
    assert re.fullmatch(said, second.stderr.strip()), second.stderr
    # The killed one's query lives on in the server, until the next writer ends it.
    assert threads_of(stack, "bronze: atonce.letters") == 1
    stack.send("atonce.letters", [(b"2", b"b")])
    stack.ingest(environment=own)
    assert threads_of(stack, "bronze: atonce.letters") == 0
    assert stack.value("select count(*) from atonce_bronze.letters") == 2


def test_a_query_that_spark_refuses_for_good_is_started_under_another_id(stack: Stack, own: dict[str, str]) -> None:
    config = ingestion.Config.from_environment({**stack.environment, **own})
    sessions = [stack.new_session() for _ in range(2)]
    every = {"processingTime": "100 milliseconds"}

    def attempt(number: int) -> bool:
        try:
            start(sessions[number], config, "atonce.letters", Life(), every)
        except PySparkException as error:
            assert "CONCURRENT_QUERY" in str(error), error
            return False
        return True

    def both_at_once() -> bool:
        start(stack.spark, config, "atonce.letters", Life(), every)
        with ThreadPoolExecutor(2) as pool:
            return not all(pool.map(attempt, range(2)))

    assert any(both_at_once() for _ in range(30)), "Spark took every pair of starts one after the other"
    for session in [*sessions, stack.spark]:
        for query in session.streams.active:
            query.stop()
    with pytest.raises(PySparkException, match="CONCURRENT_QUERY"):
        start(stack.spark, config, "atonce.letters", Life(), every)

    stack.send("atonce.letters", [(b"3", b"c")])
    stack.ingest(environment=own)
    assert stack.value("select count(distinct offset) from atonce_bronze.letters") == 3
    for session in sessions:
        session.stop()


def test_dbt_waits_for_another_writer_or_names_it(stack: Stack, own: dict[str, str], tmp_path: Path) -> None:
    holder = start_process(stack, own, "-c", HOLD, "atonce")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    run = ("dbt.cli.main", "--log-path", str(tmp_path), "run", "--select", "int_days", "--target-path", str(tmp_path))
    refused = stack.run(*run, environment=own)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "Traceback" not in said
    assert f"dbt run (process {holder.pid}) has been running since " in said
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: stack.run(*run, environment={**own, "WRITER_WAIT": "120"}))
        wait_for(lambda: openers(stack, "atonce") >= 2, "dbt waits for the lock")
        holder.send_signal(signal.SIGKILL)
        assert holder.wait() == -signal.SIGKILL
        done = waiting.result()
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_killed_dbt_left_at_work_is_stopped_by_the_next_writer(stack: Stack, own: dict[str, str]) -> None:
    endless = "select count(*) from range(0, 1000000000000) where id % 7 = sqrt(id)"
    first = start_process(stack, own, "-c", STATEMENT, "atonce", endless)
    wait_for(lambda: threads_of(stack, "Executor task launch worker for task"), "the statement runs")
    first.kill()
    first.communicate()
    assert threads_of(stack, "Executor task launch worker for task")
    second = start_process(stack, own, "-c", STATEMENT, "atonce", "select 1")
    assert second.wait(timeout=60) == 0
    wait_for(lambda: not threads_of(stack, "Executor task launch worker for task"), "the statement is stopped")


def threads_of(stack: Stack, name: str) -> int:
    """How many of the Spark server's threads have a name that contains this."""
    jcmd = [Path(JAVA).with_name("jcmd"), str(stack.service("spark")["pid"]), "Thread.print"]
    return subprocess.run(jcmd, capture_output=True, text=True, check=True).stdout.count(name)


def openers(stack: Stack, what: str) -> int:
    """How many processes have a lock's file open."""
    lock = (stack.home.root / "locks" / f"{what}.lock").stat()
    found = 0
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            files = [file.stat() for file in folder.iterdir()]
        except OSError:
            continue
        found += any((file.st_dev, file.st_ino) == (lock.st_dev, lock.st_ino) for file in files)
    return found
