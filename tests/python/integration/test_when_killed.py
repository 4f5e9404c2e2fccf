"""The embedded stack comes back when a part of it is killed.

The file's name has these tests run after those that use Spark, which is slow for minutes when it was started anew.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pipeline import PROJECT, Stack, processes, wait_for
from rounds import Round, kill

import local
from local.home import is_open
from local.jars import JAVA
from local.services import LIVE
from local.stack import supervisor

# `make live` alone starts the last one.
ALL_RUN = {**dict.fromkeys(["postgres", "kafka", "spark", "connect"], "RUNNING"), LIVE: "STOPPED"}


def states(stack: Stack) -> dict[str, str]:
    return {service["name"]: service["statename"] for service in local.status(stack.home)}


def wait_until_all_run(stack: Stack) -> None:
    """Supervisor reports RUNNING three seconds after a start. The service may answer sooner, and `up` then returns."""
    wait_for(lambda: states(stack) == ALL_RUN, "every service runs", seconds=10)


def capture_goes_on(stack: Stack, product: str) -> None:
    """A new purchase arrives in Bronze, once."""
    with stack.connect() as connection:
        connection.execute("insert into purchase_trends (product, quantity) values (%s, 1)", [product])
    stack.wait_until_captured()
    stack.ingest()
    assert (
        stack.value(f"select count(*) from bronze.purchase_trends where cast(value as string) like '%{product}%'") == 1
    )


def test_killed_connect_and_postgres_came_back(stack: Stack, after_the_demo: Round) -> None:
    """That the figures are right after it, `test_gold.py` says."""
    assert states(stack) == ALL_RUN


def test_killed_spark_comes_back_with_its_tables(stack: Stack, after_the_demo: Round) -> None:
    rows = stack.value("select count(*) from gold.customer_balance")
    assert rows > 0
    stack.forget_spark()
    kill(stack, "spark")
    wait_for(lambda: is_open(stack.home.ports()["spark"]), "Spark answers again")
    assert sum(stack.ingest().values()) == 0
    assert stack.value("select count(*) from gold.customer_balance") == rows


def test_up_starts_what_was_given_up(stack: Stack, after_the_demo: Round) -> None:
    """A service that somebody stopped, and one that failed too often, are the same to it."""
    supervisor(stack.home).stopProcess("connect")
    assert states(stack)["connect"] == "STOPPED"
    stack.up()
    wait_until_all_run(stack)


def test_ctrl_c_ends_dbt_and_its_statements(stack: Stack, after_the_demo: Round, tmp_path: Path) -> None:
    endless = "select count(*) from range(0, 1000000000000) where id % 7 = sqrt(id)"
    dbt = start_dbt(stack, tmp_path, "show", "--inline", endless)
    wait_for(lambda: running_tasks(stack), "the statement runs")
    dbt.send_signal(signal.SIGINT)
    dbt.communicate(timeout=5)
    assert dbt.returncode not in (0, -signal.SIGINT)
    wait_for(lambda: not running_tasks(stack), "the statement is stopped", seconds=10)


def test_a_run_whose_spark_was_killed_ends_and_up_starts_all_anew(
    stack: Stack, after_the_demo: Round, tmp_path: Path
) -> None:
    dbt = start_dbt(stack, tmp_path, "run", "--full-refresh", "--select", "stg_bank__transactions+")
    assert dbt.stdout is not None
    while "START sql" not in (line := dbt.stdout.readline()):
        assert line, "dbt ended before its first model"
    spark, ports = stack.service("spark")["pid"], stack.home.ports()
    os.kill(int((stack.home.root / "supervisord.pid").read_text()), signal.SIGKILL)
    os.kill(spark, signal.SIGKILL)
    ingested = stack.run("ingestion", timeout=60)
    said = dbt.communicate(timeout=60)[0]
    assert dbt.returncode == 1, said
    assert "Traceback" not in said
    assert "Spark ended while this ran: it does not answer at " in said
    assert (ingested.returncode, ingested.stderr.strip().count("\n")) == (1, 0), ingested.stderr
    assert processes(stack.home), "the other services outlive their supervisor"

    # In a shell that knows another stack, or this one as it was.
    up = stack.run("local", "up", environment={"SPARK_REMOTE": "sc://localhost:1"})
    assert up.returncode == 0, up.stdout + up.stderr
    wait_until_all_run(stack)
    assert stack.home.ports() == ports
    stack.forget_spark()
    stack.dbt("run", "--select", "stg_bank__transactions+")
    capture_goes_on(stack, "Sold after the supervisor was killed")


def test_down_stops_what_a_killed_supervisor_left(stack: Stack, after_the_demo: Round) -> None:
    os.kill(int((stack.home.root / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_for(lambda: local.status(stack.home) == [], "the supervisor is gone")
    ports = stack.home.ports()
    stack.down()
    assert processes(stack.home) == []
    assert [port for port in ports.values() if is_open(port)] == []
    assert not stack.home.env_file.exists()


def start_dbt(stack: Stack, folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [Path(sys.executable).with_name("dbt"), *words, "--target-path", folder, "--log-path", folder],
        cwd=PROJECT,
        env={**stack.clean_environment(), **stack.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def running_tasks(stack: Stack) -> int:
    """How many tasks Spark works on, by the names of its threads."""
    pid = stack.service("spark")["pid"]
    jcmd = [Path(JAVA).with_name("jcmd"), str(pid), "Thread.print"]
    dump = subprocess.run(jcmd, capture_output=True, text=True, check=True)
    return dump.stdout.count("Executor task launch worker for task")
