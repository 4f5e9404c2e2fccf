"""Ingestion as Databricks runs it, as far as that can be had here: the wheel alone, a session and secrets that are
given, names with a catalog, and Kafka that asks for a login.

AWS's login (`aws-msk-iam`), service credentials, volumes and serverless compute are there only in their clouds; of
these tests/python/ingestion/ tries what is said to Spark.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from pipeline import PROJECT, Stack
from secure_kafka import PASSWORD, USER, SecureKafka, secure_kafka

import ingestion

SCOPE = "of the tests"

# What runs where only the wheel and PySpark are. The secrets come by standard input, as nothing else may know them.
NOTEBOOK = """
import importlib.util, json, sys
from types import SimpleNamespace
from pyspark.sql import SparkSession
import ingestion

assert ingestion.__file__.startswith(sys.prefix), ingestion.__file__
others = ("local", "source", "reconcile", "dbt", "delta", "databricks", "psycopg", "cryptography")
assert not any(importlib.util.find_spec(name) for name in others)
given = json.load(sys.stdin)
secrets = SimpleNamespace(
    list=lambda scope: [SimpleNamespace(key=key) for key in given["secrets"][scope]],
    get=lambda scope, key: given["secrets"][scope][key],
)
ingestion.main(given["arguments"], spark=SparkSession.builder.remote(given["spark"]).create(), secrets=secrets)
"""


class Secrets:
    """What `dbutils.secrets` is to the job, with one scope."""

    def __init__(self, **kept: str) -> None:
        self.kept = {name.replace("_", "."): value for name, value in kept.items()}

    def list(self, scope: str) -> Sequence[SimpleNamespace]:
        if scope != SCOPE:
            raise ValueError(f"Scope {scope} does not exist!\nat some.Class")
        return [SimpleNamespace(key=key) for key in (*self.kept, "of-another-program")]

    def get(self, scope: str, key: str) -> str:
        return self.kept[key]


@dataclass(frozen=True)
class Shore:
    """Where one test's messages come from and go to."""

    stack: Stack
    kafka: SecureKafka
    name: str

    def send(self, *topics: str) -> None:
        """Put one message on each topic, which says the topic's name; each has a prefix of its own."""
        rows = [(f"{self.prefix(topic)}{topic}", topic) for topic in topics]
        (
            self.stack.spark.createDataFrame(rows, "topic string, value string")
            .write.format("kafka")
            .option("kafka.bootstrap.servers", self.kafka.open_servers)
            .save()
        )

    def prefix(self, topic: str) -> str:
        return f"{self.name}.{topic}."

    def arguments(self, topic: str, login: str, *more: str) -> list[str]:
        return [
            *("--bootstrap-servers", self.kafka.servers),
            *("--topic-prefix", self.prefix(topic)),
            *("--kafka-auth", login),
            *("--bronze-schema", f"spark_catalog.{self.name}"),
            *("--checkpoints", str(self.stack.work / self.name)),
            *("--kafka-option", "ssl.truststore.type=PEM"),
            *more,
        ]

    def token_arguments(self, topic: str) -> list[str]:
        url = f"sasl.oauthbearer.token.endpoint.url={self.kafka.token_url}"
        return self.arguments(topic, "oauthbearer", "--secret-scope", SCOPE, "--kafka-option", url)

    def secrets(self, **kept: str) -> Secrets:
        return Secrets(ssl_truststore_certificates=self.kafka.certificate, **kept)

    def passwords(self, password: str = PASSWORD) -> Secrets:
        return self.secrets(sasl_username=USER, sasl_password=password)

    def tokens(self, client_secret: str) -> Secrets:
        return self.secrets(
            sasl_oauthbearer_client_id=USER,
            sasl_oauthbearer_client_secret=client_secret,
            sasl_oauthbearer_scope="read",
        )

    def landed(self, table: str) -> list[str]:
        """The values in a Bronze table."""
        rows = self.stack.rows(f"select cast(value as string) as value from spark_catalog.{self.name}.{table}")
        return [row["value"] for row in rows]


@pytest.fixture(scope="module")
def kafka(stack: Stack) -> Iterator[SecureKafka]:
    with secure_kafka(stack.work / "secure-kafka") as kafka:
        yield kafka


@pytest.fixture
def shore(stack: Stack, kafka: SecureKafka, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shore]:
    for name in [name for name in os.environ if name.startswith(("KAFKA_", "CHECKPOINTS", "TOPIC_", "BRONZE_"))]:
        monkeypatch.delenv(name)
    name = f"t{uuid.uuid4().hex[:8]}"
    yield Shore(stack, kafka, name)
    stack.spark.sql(f"drop schema if exists {name} cascade")


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a virtual environment that has the wheel, as it is built now, and of packages PySpark alone."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = Path(sys.executable).with_name("uv")
    offline = {**os.environ, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder / "cache")}

    def run(*words: str | Path) -> None:
        done = subprocess.run(
            [uv, "--quiet", *words], env=offline, cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    run("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder)
    (wheel,) = folder.glob("*.whl")
    run("venv", "--python", sys.executable, "--no-project", folder / "venv")
    run("pip", "install", "--python", folder / "venv", "--no-deps", wheel)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    link_pyspark(folder / "pyspark")
    (packages / "pyspark.pth").write_text(f"{folder / 'pyspark'}\n")
    return folder / "venv" / "bin"


def link_pyspark(folder: Path) -> None:
    """Links to PySpark and all that its Connect client needs, and nothing else."""
    folder.mkdir()
    seen: set[str] = set()
    wanted = [Requirement("pyspark[connect]")]
    while wanted:
        requirement = wanted.pop()
        if requirement.name in seen:
            continue
        seen.add(requirement.name)
        package = metadata.distribution(requirement.name)
        for top in {file.parts[0] for file in package.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(str(package.locate_file(top)))
        extras = [{"extra": extra} for extra in ("", *requirement.extras)]
        needs = [Requirement(line) for line in package.requires or []]
        wanted += [need for need in needs if need.marker is None or any(map(need.marker.evaluate, extras))]


def test_a_login_with_secrets_lands_messages(shore: Shore) -> None:
    """By password and by token; both kinds of SCRAM are tried with the wheel."""
    logins = {
        "plain": (shore.arguments("plain", "plain", "--secret-scope", SCOPE), shore.passwords()),
        "oauthbearer": (shore.token_arguments("oauthbearer"), shore.tokens(shore.kafka.client_secret)),
    }
    shore.send(*logins)
    for words, secrets in logins.values():
        ingestion.main(words, spark=shore.stack.spark, secrets=secrets)
    assert {login: shore.landed(login) for login in logins} == {login: [login] for login in logins}


def test_a_login_that_fails_is_one_line(shore: Shore) -> None:
    topics = f"{shore.prefix('one')}*"
    ending = "Look at --kafka-auth, and at its secrets in the secret scope or the environment."
    wrong, scope = "not-the-word", ["--secret-scope", SCOPE]
    unknown = shore.passwords()
    del unknown.kept["ssl.truststore.certificates"]
    cases = {
        "plain": (shore.arguments("one", "plain", *scope), shore.passwords(wrong)),
        "scram": (shore.arguments("one", "scram-sha-512", *scope), shore.passwords(wrong)),
        "token": (shore.token_arguments("one"), shore.tokens(wrong)),
        "unread": (
            shore.arguments("one", "plain", *scope),
            shore.secrets(sasl_jaas_config=f"some.Module required password={wrong}"),
        ),
        "certificate": (shore.arguments("one", "plain", *scope, "--kafka-option", "ssl.truststore.type=JKS"), unknown),
    }

    def fail(case: str) -> str:
        words, secrets = cases[case]
        with pytest.raises(SystemExit) as end:
            ingestion.main(words, spark=shore.stack.spark, secrets=secrets)
        return str(end.value)

    with ThreadPoolExecutor() as pool:
        said = dict(zip(cases, pool.map(fail, cases), strict=True))
    fails = f"{topics}: the login to Kafka fails:"
    assert said == {
        "plain": f"{fails} Authentication failed: Invalid username or password. {ending}",
        "scram": f"{fails} Authentication failed during authentication due to invalid credentials with SASL mechanism "
        f"SCRAM-SHA-512. {ending}",
        "token": f"{fails} the token endpoint answers 401. {ending}",
        "unread": f"{topics}: Kafka's client can't be made of its options. Look at those that begin with sasl. and "
        "ssl., in --kafka-option, the secret scope and the environment.",
        "certificate": f"{topics}: the TLS handshake fails with Kafka at {shore.kafka.servers}. If its certificate is "
        "a company's own, give the authority's as ssl.truststore.certificates, with ssl.truststore.type=PEM.",
    }


def test_the_wheel_runs_alone(shore: Shore, clean_python: Path, tmp_path: Path) -> None:
    """With a session and secrets that are given, and as a command, with the password in the environment."""
    shore.send("given", "command")
    remote, token = (shore.stack.environment[name] for name in ("SPARK_REMOTE", "SPARK_CONNECT_AUTHENTICATE_TOKEN"))
    given = {
        "arguments": shore.arguments("given", "scram-sha-512", "--secret-scope", SCOPE),
        "spark": f"{remote}/;token={token}",
        "secrets": {SCOPE: shore.passwords().kept},
    }
    clean = {"PATH": os.defpath, "HOME": str(tmp_path)}
    variables = {
        "SPARK_REMOTE": remote,
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": token,
        "KAFKA_SASL_USERNAME": USER,
        "KAFKA_SASL_PASSWORD": PASSWORD,
        "KAFKA_SSL_TRUSTSTORE_CERTIFICATES": shore.kafka.certificate,
    }
    runs: dict[str, tuple[list[str | Path], dict[str, str]]] = {
        "given": ([clean_python / "python", "-I", "-c", NOTEBOOK], clean),
        "command": ([clean_python / "ingestion", *shore.arguments("command", "scram-sha-256")], {**clean, **variables}),
    }

    def land(topic: str) -> None:
        words, environment = runs[topic]
        result = subprocess.run(
            words, input=json.dumps(given), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == f"spark_catalog.{shore.name}.{topic}: 1 messages from {shore.prefix(topic)}{topic}\n"
        assert shore.landed(topic) == [topic]

    with ThreadPoolExecutor() as pool:
        list(pool.map(land, runs))


def test_the_wheel_brings_no_package(clean_python: Path) -> None:
    """A cluster has Spark and Delta, and must keep its own: an install of the wheel changes nothing else."""
    (file,) = clean_python.parent.glob("lib/python*/site-packages/financial_insights-*.dist-info/METADATA")
    needs = [line for line in file.read_text().splitlines() if line.startswith("Requires-Dist:")]
    assert [line for line in needs if "extra ==" not in line] == []
