"""`make demo`, killed and interrupted in the middle, is run again and ends well.

It goes on from all that the rounds left, and ends with `dbt build`: dbt's data tests hold after everything.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from pipeline import PROJECT, Stack
from rounds import Round
from truth import GOLD


@pytest.fixture
def demo(stack: Stack, after_crashes: Round) -> Callable[[], subprocess.Popen[str]]:
    """Starts the demo on the tests' own stack."""

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "local", "demo"],
            cwd=PROJECT,
            env={
                **stack.clean_environment(),
                "PYTHONUNBUFFERED": "1",
                "COLUMNS": "120",
                "DBT_TARGET_PATH": str(stack.work / "target"),
                "DBT_LOG_PATH": str(stack.work / "logs"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def read_until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    assert process.stderr is not None
    raise AssertionError(f"It ended before {words!r}: {process.stderr.read()}")


def test_a_killed_and_an_interrupted_demo_are_run_again(
    stack: Stack, demo: Callable[[], subprocess.Popen[str]]
) -> None:
    killed = demo()
    read_until(killed, "Start capture by Debezium")
    killed.kill()
    killed.communicate()

    interrupted = demo()
    read_until(interrupted, "Start capture by Debezium")
    os.kill(interrupted.pid, signal.SIGINT)
    _, said = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 1
    assert said.strip() == "Interrupted. Nothing is lost: run it again with: make demo"

    whole = demo()
    said, trouble = whole.communicate(timeout=400)
    assert whole.returncode == 0, said + trouble
    for mart in GOLD:
        assert f"gold.{mart}" in said
    assert "make down" in said
