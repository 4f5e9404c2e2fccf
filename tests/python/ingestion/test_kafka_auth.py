"""What each login says to Kafka's client, here and where its classes have other names."""

from __future__ import annotations

import pytest

from ingestion import Config, IngestionError
from ingestion.kafka_auth import METHODS, jaas

NEEDED = {"KAFKA_BOOTSTRAP_SERVERS": "one:9096", "CHECKPOINTS": "/Volumes/main/bronze/checkpoints"}
DATABRICKS = {"DATABRICKS_RUNTIME_VERSION": "17.3"}
PASSWORD = {"sasl.username": "someone", "sasl.password": "secret-word"}
CLIENT = {"sasl.oauthbearer.client.id": "job", "sasl.oauthbearer.client.secret": "secret-word"}
TOKEN_URL = "https://issuer.example/token"


def options(method: str, given: dict[str, str], environment: dict[str, str] | None = None) -> dict[str, str]:
    """What the Kafka client is told beyond where the brokers are."""
    said = Config.from_environment({**NEEDED, "KAFKA_AUTH": method, **(environment or {})}, secrets=given)
    return dict(said.kafka_options)


@pytest.mark.parametrize(
    ("method", "mechanism", "module"),
    [
        ("plain", "PLAIN", "plain.PlainLoginModule"),
        ("scram-sha-256", "SCRAM-SHA-256", "scram.ScramLoginModule"),
        ("scram-sha-512", "SCRAM-SHA-512", "scram.ScramLoginModule"),
    ],
)
@pytest.mark.parametrize(("environment", "shaded"), [({}, ""), (DATABRICKS, "kafkashaded.")])
def test_a_password(method: str, mechanism: str, module: str, environment: dict[str, str], shaded: str) -> None:
    assert options(method, PASSWORD, environment) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": f"{shaded}org.apache.kafka.common.security.{module} required "
        'username="someone" password="secret-word";',
    }


@pytest.mark.parametrize(("environment", "shaded"), [({}, ""), (DATABRICKS, "kafkashaded.")])
def test_a_token(environment: dict[str, str], shaded: str) -> None:
    environment = {**environment, "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": TOKEN_URL}
    package = f"{shaded}org.apache.kafka.common.security.oauthbearer"
    expected = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.jaas.config": f'{package}.OAuthBearerLoginModule required clientId="job" clientSecret="secret-word";',
        "sasl.login.callback.handler.class": f"{package}.OAuthBearerLoginCallbackHandler",
        "sasl.oauthbearer.token.endpoint.url": TOKEN_URL,
    }
    assert options("oauthbearer", CLIENT, environment) == expected
    scoped = options("oauthbearer", {**CLIENT, "sasl.oauthbearer.scope": "read"}, environment)
    assert scoped["sasl.jaas.config"].endswith(' clientSecret="secret-word" scope="read";')


@pytest.mark.parametrize(("environment", "shaded"), [({}, ""), (DATABRICKS, "shadedmskiam.")])
def test_amazons_own_login(environment: dict[str, str], shaded: str) -> None:
    package = f"{shaded}software.amazon.msk.auth.iam"
    assert options("aws-msk-iam", {}, environment) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "AWS_MSK_IAM",
        "sasl.jaas.config": f"{package}.IAMLoginModule required;",
        "sasl.client.callback.handler.class": f"{package}.IAMClientCallbackHandler",
    }


def test_a_service_credential_is_all_that_is_said() -> None:
    config = Config.from_environment({**NEEDED, **DATABRICKS, "KAFKA_SERVICE_CREDENTIAL": "bank-kafka"})
    assert config.reader_options() == {
        "kafka.bootstrap.servers": "one:9096",
        "databricks.serviceCredential": "bank-kafka",
        "kafka.isolation.level": "read_committed",
        "startingOffsets": "earliest",
        "failOnDataLoss": "true",
        "includeHeaders": "true",
    }


def test_what_is_said_outright_wins() -> None:
    whole = "shadedmskiam.software.amazon.msk.auth.iam.IAMLoginModule required awsRoleArn='arn:aws:iam::1:role/kafka';"
    assert options("aws-msk-iam", {"sasl.jaas.config": whole}, DATABRICKS)["sasl.jaas.config"] == whole
    said = options("plain", {"sasl.jaas.config": "all of it;"}, {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"})
    assert (said["sasl.jaas.config"], said["security.protocol"]) == ("all of it;", "SASL_PLAINTEXT")


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            {"KAFKA_AUTH": "scram"},
            "There is no Kafka login called scram. Choose one of: none, plain, scram-sha-256, scram-sha-512, "
            "oauthbearer, aws-msk-iam",
        ),
        (
            {"KAFKA_AUTH": "plain", "KAFKA_SASL_USERNAME": "someone"},
            "The Kafka login plain needs sasl.password. Put it in a secret scope (--secret-scope), in the environment "
            "(KAFKA_SASL_PASSWORD) or, where it isn't secret, in --kafka-option.",
        ),
        (
            {"KAFKA_AUTH": "oauthbearer", "KAFKA_SECRET_SCOPE": "bank"},
            "The Kafka login oauthbearer needs sasl.oauthbearer.client.id, sasl.oauthbearer.client.secret, "
            "sasl.oauthbearer.token.endpoint.url. Put it in the secret scope bank, in the environment "
            "(KAFKA_SASL_OAUTHBEARER_CLIENT_ID, KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET, "
            "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL) or, where it isn't secret, in --kafka-option.",
        ),
        (
            {**DATABRICKS, "KAFKA_AUTH": "aws-msk-iam", "KAFKA_SERVICE_CREDENTIAL": "bank-kafka"},
            "The service credential bank-kafka and the Kafka login aws-msk-iam are two ways to log in. Choose one.",
        ),
        (
            {"KAFKA_SERVICE_CREDENTIAL": "bank-kafka"},
            "A service credential is there on Databricks only. Elsewhere log in by --kafka-auth.",
        ),
    ],
)
def test_what_is_missing_or_makes_no_sense_is_one_line(said: dict[str, str], line: str) -> None:
    with pytest.raises(IngestionError) as error:
        Config.from_environment({**NEEDED, **said})
    assert str(error.value) == line


@pytest.mark.parametrize("method", METHODS)
def test_secrets_are_never_shown(method: str) -> None:
    environment = {**NEEDED, "KAFKA_AUTH": method, "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": TOKEN_URL}
    config = Config.from_environment(environment, secrets={**PASSWORD, **CLIENT, "ssl.keystore.key": "a-key"})
    assert "secret-word" not in repr(config) + str(config) + f"{config}"
    assert config.without_secrets("no a-key, no secret-word, said someone") == "no [hidden], no [hidden], said someone"


def test_a_credential_is_quoted_as_kafka_reads_it() -> None:
    """That Kafka does read it so, is tried in tests/python/integration/test_ingestion_on_databricks.py."""
    assert jaas("some.Module", {"a": 'x"; y="z', "b": "back\\slash\\", "c": "two\r\nlines", "d": "it's $1"}) == (
        'some.Module required a="x\\"; y=\\"z" b="back\\\\slash\\\\" c="two\\r\\nlines" d="it\'s $1";'
    )
