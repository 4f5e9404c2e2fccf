"""What may be said to the job, what it makes of that, and what it never shows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyspark.sql import SparkSession

import ingestion
from ingestion import Config, IngestionError
from ingestion.command_line import parse, with_options
from ingestion.secret_scope import kafka_secrets
from ingestion.session import spark_session

NEEDED = ["--bootstrap-servers=one:9092", "--checkpoints=/somewhere"]
PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    read = ("KAFKA_", "CHECKPOINTS", "TOPIC_PREFIX", "BRONZE_SCHEMA", "SPARK_REMOTE", "DATABRICKS_")
    for name in [name for name in os.environ if name.startswith(read)]:
        monkeypatch.delenv(name)


class Secrets:
    """As `dbutils.secrets`, with one scope; it remembers what was asked for."""

    def __init__(self, **kept: str) -> None:
        self.kept = kept
        self.asked: list[str] = []

    def list(self, scope: str) -> Sequence[SimpleNamespace]:
        if scope != "bank":
            raise RuntimeError(f"Scope {scope} does not exist!\n\tat com.databricks.SomeClass")
        return [SimpleNamespace(key=key) for key in self.kept]

    def get(self, scope: str, key: str) -> str:
        self.asked.append(key)
        return self.kept[key]


def config_of(*words: str, environment: dict[str, str] | None = None) -> Config:
    return Config.from_environment(with_options(environment or {}, parse(words)))


def end_of(*words: str, secrets: Secrets | None = None) -> str:
    """What the job ends with; it has no session to go on with."""
    with pytest.raises(SystemExit) as end:
        ingestion.main(words, secrets=secrets)
    return str(end.value.code)


def test_every_setting_is_an_option_that_wins_over_the_environment() -> None:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": "other:9092",
        "CHECKPOINTS": "/other",
        "TOPIC_PREFIX": "other.",
        "BRONZE_SCHEMA": "other",
        "KAFKA_AUTH": "none",
        "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "KAFKA_FETCH_MAX_BYTES": "1000",
    }
    assert config_of(environment=environment) == Config(
        "other:9092", "/other", "other.", "other", {"security.protocol": "PLAINTEXT", "fetch.max.bytes": "1000"}
    )
    words = [
        *NEEDED,
        *("--topic-prefix", "shop."),
        *("--bronze-schema", "main.raw"),
        *("--kafka-option", "security.protocol=SASL_SSL"),
        *("--kafka-option", "kafka.sasl.kerberos.service.name=a=b"),
    ]
    assert config_of(*words, environment=environment) == Config(
        "one:9092",
        "/somewhere",
        "shop.",
        "main.raw",
        {"security.protocol": "SASL_SSL", "fetch.max.bytes": "1000", "sasl.kerberos.service.name": "a=b"},
    )


def test_an_empty_option_is_none() -> None:
    """A parameter of a Databricks job that nobody set comes so."""
    words = [f"--{name}=" for name in ("topic-prefix", "kafka-auth", "secret-scope", "service-credential")]
    assert config_of(*NEEDED, *words, "--bronze-schema=") == Config("one:9092", "/somewhere")


def test_a_secret_scope_is_asked_for_what_is_kafkas_alone() -> None:
    kept = {"sasl.username": "someone", "sasl.password": "secret-word", "ssl.keystore.key": "k", "other-token": "t"}
    secrets = Secrets(**kept)
    assert kafka_secrets("bank", secrets) == {name: value for name, value in kept.items() if name != "other-token"}
    assert "other-token" not in secrets.asked


def test_a_scope_that_cannot_be_read_is_one_line() -> None:
    assert end_of(*NEEDED, "--secret-scope=banks", secrets=Secrets()) == (
        "The secret scope banks can't be read: Scope banks does not exist. Does it exist, and may this job read it?"
    )


def test_a_scope_without_the_secret_is_one_line() -> None:
    secrets = Secrets(**{"sasl.username": "someone"})
    assert end_of(*NEEDED, "--secret-scope=bank", "--kafka-auth=plain", secrets=secrets) == (
        "The Kafka login plain needs sasl.password. Put it in the secret scope bank, in the environment "
        "(KAFKA_SASL_PASSWORD) or, where it isn't secret, in --kafka-option."
    )


def test_a_scope_elsewhere_than_on_databricks_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    assert end_of(*NEEDED, "--secret-scope=bank") == (
        "A secret scope is there on Databricks only. Elsewhere put secrets in the environment: KAFKA_SASL_PASSWORD is "
        "sasl.password."
    )


@pytest.mark.parametrize(
    "option",
    [
        "sasl.jaas.config",
        "sasl.password",
        "kafka.sasl.password",
        "SASL.Password",
        "ssl.keystore.key",
        "ssl.key.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
    ],
)
def test_nothing_secret_may_be_said_on_the_command_line(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse([f"--kafka-option={option}=secret-word"])
    name = option.removeprefix("kafka.").lower()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said == (
        f"argument --kafka-option: {name} is secret: put it in the secret scope as {name}, or in the environment as "
        f"KAFKA_{name.replace('.', '_').upper()}. What there is to say: ingestion --help\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--kafka-option", "sasl.password:secret-word"],
        ["--kafka-option", "sasl_password=secret-word"],
        ["--password=secret-word"],
        ["--password", "secret-word"],
        ["secret-word"],
        ["--kafka-opt", "sasl.password=secret-word"],
    ],
)
def test_a_secret_in_a_wrong_place_is_not_shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words)
    said = capsys.readouterr().err
    assert "secret-word" not in said
    assert said.count("\n") == 1
    assert said.endswith("What there is to say: ingestion --help\n")


def test_an_option_has_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--bootstrap", "one:9092"])
    assert capsys.readouterr().err == "There is no --bootstrap. What there is to say: ingestion --help\n"


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_batch_holds_at_least_one_message(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--max-offsets-per-trigger", number])
    assert f"invalid positive value: '{number}'" in capsys.readouterr().err


def test_help_names_every_option_and_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    for name in (
        *("KAFKA_BOOTSTRAP_SERVERS", "TOPIC_PREFIX", "KAFKA_AUTH", "KAFKA_SECRET_SCOPE", "KAFKA_SERVICE_CREDENTIAL"),
        *("BRONZE_SCHEMA", "CHECKPOINTS", "--trigger", "--max-offsets-per-trigger", "--kafka-option"),
    ):
        assert name in said


def test_variables_of_docker_compose_are_read_as_ever() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    said = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert config_of(environment=said) == Config("kafka:19092", "/var/lib/insights/checkpoints")


def test_serverless_computes_own_session_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """There `SPARK_REMOTE` names a socket that is no host and port, which only Databricks' own PySpark can open."""
    own = object()
    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", lambda self: own)
    with monkeypatch.context() as serverless:
        serverless.setenv("SPARK_REMOTE", "unix:///databricks/sparkconnect/grpc.sock")
        serverless.setattr("ingestion.session.require_spark", lambda: pytest.fail("it was taken for a host and port"))
        assert spark_session() is own
    monkeypatch.setenv("SPARK_REMOTE", "sc://localhost:1")
    with pytest.raises(IngestionError, match="Spark is not running at sc://localhost:1"):
        spark_session()
