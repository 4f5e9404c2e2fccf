"""The command line: what a person sees."""

import os
import subprocess
import sys

import pytest
from psycopg import conninfo


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-m", "source", *words],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


NOWHERE = "postgresql://u:secret-word@127.0.0.1:1/bank"


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["migrate"], {}, "DATABASE_URL is not set"),
        (["migrate"], {"DATABASE_URL": NOWHERE}, "can't be reached at 127.0.0.1:1"),
        (["migrate"], {"DATABASE_URL": "postgresql://u:secret-word@[nonsense/bank"}, "can't be read"),
        (["register"], {"CONNECT_URL": "http://127.0.0.1:1"}, "Kafka Connect can't be reached"),
        (["history", "--days", "many"], {"DATABASE_URL": NOWHERE}, "'many'"),
        (["history", "--days", "0"], {"DATABASE_URL": NOWHERE}, "at least one"),
        (["simulate", "--rate", "0"], {"DATABASE_URL": NOWHERE}, "more than zero"),
        (["sell"], {}, "'sell'"),
        ([], {}, "command"),
    ],
)
def test_what_the_user_can_mend_is_one_line(words: list[str], environment: dict[str, str], said: str) -> None:
    result = run(*words, **environment)
    assert result.returncode == 1
    assert result.stdout.strip() == ""
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert "secret-word" not in result.stderr


def test_a_wrong_password_is_one_line(bank: str) -> None:
    result = run("migrate", DATABASE_URL=conninfo.make_conninfo(bank, password="wrong-word"))
    assert result.returncode == 1
    assert "check the password" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "wrong-word" not in result.stderr


def test_from_nothing_to_a_living_bank(bank: str) -> None:
    said = [
        run(*words, DATABASE_URL=bank)
        for words in (
            ["migrate"],
            ["migrate"],
            ["history", "--customers", "5", "--days", "20"],
            ["history", "--customers", "5", "--days", "20"],
            ["simulate", "--rate", "100", "--length", "1"],
        )
    ]
    assert [result.returncode for result in said] == [0] * 5, said
    for result, words in zip(
        said, ("Applied: 0001", "up to date", "Loaded 5 customers", "already", " events in "), strict=True
    ):
        assert words in result.stdout
