"""The embedded stack keeps running, is taken down whole, and says in one line what a person must mend."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline import PROJECT, Stack
from rounds import Round

import local
from local.home import USUAL_PORTS, StackError, is_free, is_open


def pids(stack: Stack) -> dict[str, int]:
    return {service["name"]: service["pid"] for service in local.status(stack.home)}


def test_up_again_changes_nothing(stack: Stack) -> None:
    before = pids(stack), stack.home.ports(), stack.home.read_env()
    assert local.up(stack.home) == stack.environment
    assert (pids(stack), stack.home.ports(), stack.home.read_env()) == before


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # A documentation address routes nowhere; asking the way to it (nothing is sent) tells this machine's own.
        probe.connect(("192.0.2.1", 9))
        own = probe.getsockname()[0]
    for service, port in stack.home.ports().items():
        assert is_open(port), service
        with socket.socket() as other:
            other.settimeout(1)
            assert other.connect_ex((own, port)) != 0, f"{service} can be reached from elsewhere"


def test_connects_log_tells_what_debezium_does_and_no_secret(stack: Stack, after_the_snapshot: Round) -> None:
    logs = [stack.home.logs / name for name in ("connect.log", "connect.log.1")]
    text = "".join(log.read_text() for log in logs if log.exists())
    assert re.search(r"INFO +i\.d\.", text), text[-2000:]
    assert not [name for name, secret in stack.home.secrets().items() if secret in text]


def test_a_usual_port_that_was_taken_was_left_alone(stack: Stack) -> None:
    port = stack.home.moved_ports()["postgres"]
    assert port != USUAL_PORTS["postgres"]
    assert f"127.0.0.1:{port}/bank" in stack.database_url


def test_a_usual_port_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_free(USUAL_PORTS["postgres"]):
            taken.bind(("127.0.0.1", USUAL_PORTS["postgres"]))
            taken.listen()
        home = local.Home(tmp_path)
        chosen = home.choose_ports()
        assert chosen["postgres"] != USUAL_PORTS["postgres"]
        assert home.moved_ports()["postgres"] == chosen["postgres"]
        assert len(set(chosen.values())) == len(USUAL_PORTS)
    assert home.choose_ports() == chosen, "it stays with the port it has"


def test_a_wrong_password_is_one_line(stack: Stack) -> None:
    secrets = stack.home.root / "secrets.json"
    right = secrets.read_text()
    try:
        secrets.write_text(json.dumps({**json.loads(right), "superuser": "wrong-word"}))
        result = stack.run("local", "up")
    finally:
        secrets.write_text(right)
    assert result.returncode == 1
    assert result.stderr.strip().startswith(f"Postgres refuses the password in {secrets}. "), result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert "wrong-word" not in result.stdout + result.stderr


@pytest.mark.parametrize("command", ["run", "build", "test"])
def test_dbt_without_spark_is_one_line(tmp_path: Path, stack: Stack, command: str) -> None:
    nowhere = f"sc://localhost:{local.home.free_port()}"
    said = dbt_in_vain(stack, tmp_path, command, {"SPARK_REMOTE": nowhere})
    assert said.count(f"Spark is not running at {nowhere}. Start the local stack with: make up") == 1, said


def test_dbt_without_the_stack_is_one_line(tmp_path: Path, stack: Stack) -> None:
    said = dbt_in_vain(stack, tmp_path, "run", {})
    assert said.count("The local stack is not up. Start it with: make up") == 1, said


def dbt_in_vain(stack: Stack, folder: Path, command: str, environment: dict[str, str]) -> str:
    """What dbt says, in a few lines, when it can't do a command for a stack whose folder is empty."""
    result = subprocess.run(
        [Path(sys.executable).with_name("dbt"), command, "--target-path", folder, "--log-path", folder],
        cwd=PROJECT,
        env={**stack.clean_environment(), "INSIGHTS_HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if line.strip()]) <= 5, said
    return said


def test_status_tells_of_a_table_that_capture_can_not_read(stack: Stack, after_the_snapshot: Round) -> None:
    with stack.connect() as connection:
        connection.execute("revoke select on scheduled_payments from debezium")
        try:
            broken = stack.run("local", "status")
        finally:
            connection.execute("grant select on scheduled_payments to debezium")
    assert broken.returncode == 1
    assert broken.stderr.strip().startswith("public.scheduled_payments can't be read by debezium. Mend it with: grant")
    assert broken.stderr.strip().count("\n") == 0
    whole = stack.run("local", "status")
    assert (whole.returncode, whole.stderr) == (0, "")
    assert "postgres" in broken.stdout
    assert "RUNNING" in whole.stdout


@pytest.mark.parametrize("command", ["status", "logs"])
def test_a_stack_that_is_not_up_is_one_line(tmp_path: Path, stack: Stack, command: str) -> None:
    result = stack.run("local", command, environment={"INSIGHTS_HOME": str(tmp_path)})
    assert result.returncode == 1
    assert result.stderr.strip().count("\n") == 0
    assert result.stderr.strip().endswith("tart the stack with: make up") or "Start it with: make up" in result.stderr


def test_make_leads_to_a_stack_in_a_folder_with_a_space(stack: Stack) -> None:
    assert " " in str(stack.home.root)
    # Make itself installs nothing here: it runs this Python.
    make = ["make", "--assume-old=setup", f"BIN={Path(sys.executable).parent}", "resnapshot", "TABLE=no_such_table"]
    result = subprocess.run(
        make, cwd=PROJECT, env=stack.clean_environment(), capture_output=True, text=True, check=False
    )
    assert "no_such_table" in result.stderr, result.stdout + result.stderr
    assert "not up" not in result.stderr


@pytest.mark.parametrize("odd", [*':;,#%$*?"\\', "${env:HOME}", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\n"])
def test_a_folder_that_a_service_would_misread_is_refused(tmp_path: Path, odd: str) -> None:
    folder = tmp_path / f"my{odd}stack"
    with pytest.raises(StackError, match="Set INSIGHTS_HOME to a folder without") as refused:
        local.Home(folder).create()
    assert "\n" not in str(refused.value)
    assert not folder.exists()
