"""How the Kafka client says who it is: from a method's name and credentials to the options of Kafka's Java client.

Credentials are named as other Kafka clients name them (librdkafka's configuration reference): `sasl.username`,
`sasl.password`, `sasl.oauthbearer.client.id`, `sasl.oauthbearer.client.secret`, `sasl.oauthbearer.scope`. The Java
client wants them as one text, `sasl.jaas.config`, which is made here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ingestion.errors import IngestionError

NONE = "none"


@dataclass(frozen=True)
class Method:
    """One way to log in, always over TLS (`SASL_SSL`).

    Attributes:
        mechanism: Kafka's name of it.
        login_module: class that `sasl.jaas.config` names.
        credentials: its options in `sasl.jaas.config`, and what each is called among the options that are given.
        optional: those of the credentials that may be missing.
        options: further options that must be given.
        handlers: options that name a class of the client.
    """

    mechanism: str
    login_module: str
    credentials: Mapping[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    options: tuple[str, ...] = ()
    handlers: Mapping[str, str] = field(default_factory=dict)


SECURITY = "org.apache.kafka.common.security"
PASSWORD = {"username": "sasl.username", "password": "sasl.password"}

METHODS = {
    "plain": Method("PLAIN", f"{SECURITY}.plain.PlainLoginModule", PASSWORD),
    "scram-sha-256": Method("SCRAM-SHA-256", f"{SECURITY}.scram.ScramLoginModule", PASSWORD),
    "scram-sha-512": Method("SCRAM-SHA-512", f"{SECURITY}.scram.ScramLoginModule", PASSWORD),
    "oauthbearer": Method(
        "OAUTHBEARER",
        f"{SECURITY}.oauthbearer.OAuthBearerLoginModule",
        {
            "clientId": "sasl.oauthbearer.client.id",
            "clientSecret": "sasl.oauthbearer.client.secret",
            "scope": "sasl.oauthbearer.scope",
        },
        optional=frozenset({"scope"}),
        options=("sasl.oauthbearer.token.endpoint.url",),
        # Its name since Kafka 3.4. `…oauthbearer.secured.…`, which many examples have, ended with 4.0 (KAFKA-18293).
        handlers={"sasl.login.callback.handler.class": f"{SECURITY}.oauthbearer.OAuthBearerLoginCallbackHandler"},
    ),
    "aws-msk-iam": Method(
        "AWS_MSK_IAM",
        "software.amazon.msk.auth.iam.IAMLoginModule",
        handlers={"sasl.client.callback.handler.class": "software.amazon.msk.auth.iam.IAMClientCallbackHandler"},
    ),
}

# Databricks ships Kafka's client and AWS's login for it under other package names, and takes no other classes on
# compute with standard access mode, serverless included:
# docs.databricks.com/aws/en/connect/streaming/kafka/authentication and
# docs.databricks.com/error-messages/restricted-streaming-option-permission-enforced-error-class.
SHADED = {"org.apache.kafka.": "kafkashaded.", "software.amazon.msk.": "shadedmskiam."}


def is_databricks(environment: Mapping[str, str]) -> bool:
    """Whether the environment is that of Databricks compute, of whatever kind: they all set this variable."""
    return "DATABRICKS_RUNTIME_VERSION" in environment


def login_options(method: str, given: Mapping[str, str], *, shaded: bool, secret_scope: str = "") -> dict[str, str]:
    """The Kafka client's options that log in by a method.

    Args:
        method: one of `METHODS`, or `NONE`, which adds nothing.
        given: options by Kafka's names, credentials among them; what is said here wins over what the method would say.
        shaded: whether classes have the names that Databricks gives them.
        secret_scope: where credentials are looked for first, to name it in an error.

    Returns:
        Those given, with credentials replaced by `sasl.jaas.config`.

    Raises:
        IngestionError: there is no such method, or it lacks a credential.
    """
    if method == NONE:
        return dict(given)
    if method not in METHODS:
        raise IngestionError(f"There is no Kafka login called {method}. Choose one of: {', '.join([NONE, *METHODS])}")
    way = METHODS[method]
    # A whole `sasl.jaas.config` may be given as well, with options that no credential here stands for.
    named = {} if given.get("sasl.jaas.config") else way.credentials
    needed = [name for option, name in named.items() if option not in way.optional]
    missing = [name for name in (*needed, *way.options) if not given.get(name)]
    if missing:
        place = f"the secret scope {secret_scope}" if secret_scope else "a secret scope (--secret-scope)"
        variables = ", ".join(environment_name(name) for name in missing)
        raise IngestionError(
            f"The Kafka login {method} needs {', '.join(missing)}. Put it in {place}, in the environment ({variables}) "
            "or, where it isn't secret, in --kafka-option."
        )
    credentials = {option: given[name] for option, name in way.credentials.items() if given.get(name)}
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": way.mechanism,
        "sasl.jaas.config": jaas(class_name(way.login_module, shaded=shaded), credentials),
        **{option: class_name(handler, shaded=shaded) for option, handler in way.handlers.items()},
        **{name: value for name, value in given.items() if name not in way.credentials.values()},
    }


def class_name(name: str, *, shaded: bool) -> str:
    """A Java class's name where the job runs."""
    if not shaded:
        return name
    return next((prefix + name for package, prefix in SHADED.items() if name.startswith(package)), name)


def jaas(login_module: str, options: Mapping[str, str]) -> str:
    r"""One entry of a JAAS configuration, as `sasl.jaas.config` holds it.

    Kafka reads it by Java's `StreamTokenizer` (org.apache.kafka.common.security.JaasConfig): inside of double quotes a
    backslash escapes, and the end of a line ends the text.
    """
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
    words = (f'{name}="{value.translate(escapes)}"' for name, value in options.items())
    return " ".join([login_module, "required", *words]) + ";"


def environment_name(option: str) -> str:
    """The variable that holds an option of the Kafka client: `sasl.mechanism` is `KAFKA_SASL_MECHANISM`."""
    return "KAFKA_" + option.replace(".", "_").upper()


def is_secret(option: str) -> bool:
    """Whether an option of the Kafka client, or a credential, is nobody's to see."""
    return option == "sasl.jaas.config" or option.endswith(("password", "passphrase", "secret", ".key"))
