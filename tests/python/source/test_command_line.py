"""The command line: what a person sees."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import conninfo

from source import load_history, migrate
from source.__main__ import main

NOWHERE = "postgresql://u:secret-word@127.0.0.1:1/bank"


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["migrate"], {}, "DATABASE_URL is not set"),
        (["migrate"], {"DATABASE_URL": NOWHERE}, "can't be reached at 127.0.0.1:1"),
        (["migrate"], {"DATABASE_URL": "postgresql://u:secret-word@[nonsense/bank"}, "can't be read"),
        (["register"], {"CONNECT_URL": "http://127.0.0.1:1"}, "DATABASE_URL is not set"),
        (["history", "--days", "many"], {"DATABASE_URL": NOWHERE}, "'many'"),
        (["history", "--days", "0"], {"DATABASE_URL": NOWHERE}, "at least one"),
        (["simulate", "--rate", "0"], {"DATABASE_URL": NOWHERE}, "more than zero"),
        (["sell"], {}, "'sell'"),
        ([], {}, "command"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    words: list[str],
    environment: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(words) == 1
    told = capsys.readouterr()
    assert told.out.strip() == ""
    assert told.err.count("\n") == 1
    assert said in told.err
    assert "secret-word" not in told.err


def test_a_wrong_password_is_one_line(bank: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "source", "migrate"],
        env={**os.environ, "DATABASE_URL": conninfo.make_conninfo(bank, password="wrong-word")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert "check the password" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "wrong-word" not in result.stderr


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_from_nothing_to_a_living_bank(
    bank: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", bank)
    history = ("history", "--customers", "5", "--days", "20")
    assert "Applied: 0001" in said(capsys, "migrate")
    assert "up to date" in said(capsys, "migrate")
    assert "Loaded 5 customers" in said(capsys, *history)
    assert "already" in said(capsys, *history)
    assert " events in " in said(capsys, "simulate", "--rate", "100", "--length", "0.5")


def test_a_bank_that_stood_still_catches_up_first(
    bank: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", bank)
    migrate(bank)
    load_history(bank, seed=1, customers=5, days=20, until=datetime.now(UTC) - timedelta(days=3))
    simulate = ("simulate", "--rate", "100", "--length", "0.1")
    assert "stood still" in said(capsys, *simulate)
    assert "stood still" not in said(capsys, *simulate)
