"""The embedded stack comes back when a part of it is killed.

The file's name has these tests run after those that use Spark, which is slow for minutes when it was started anew.
"""

from __future__ import annotations

import os
import signal

from pipeline import Stack, processes, wait_for
from rounds import Round, kill

import local
from local.home import is_open

SERVICES = ["postgres", "kafka", "spark", "connect"]


def states(stack: Stack) -> dict[str, str]:
    return {service["name"]: service["statename"] for service in local.status(stack.home)}


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
    assert states(stack) == dict.fromkeys(SERVICES, "RUNNING")


def test_killed_spark_comes_back_with_its_tables(stack: Stack, after_the_demo: Round) -> None:
    rows = stack.value("select count(*) from gold.customer_balance")
    assert rows > 0
    stack.forget_spark()
    kill(stack, "spark")
    wait_for(lambda: is_open(stack.home.ports()["spark"]), "Spark answers again")
    assert sum(stack.ingest().values()) == 0
    assert stack.value("select count(*) from gold.customer_balance") == rows


def test_after_a_killed_supervisor_down_and_up_recover(stack: Stack, after_the_demo: Round) -> None:
    supervisor = int((stack.home.root / "supervisord.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: local.status(stack.home) == [], "the supervisor is gone")
    assert processes(stack.home), "the services outlive it"
    ports = stack.home.ports()

    stack.down()
    assert processes(stack.home) == []
    assert [port for port in ports.values() if is_open(port)] == []
    assert not stack.home.env_file.exists()

    stack.up()
    assert states(stack) == dict.fromkeys(SERVICES, "RUNNING")
    assert stack.home.ports() == ports
    capture_goes_on(stack, "Sold after the supervisor was killed")
