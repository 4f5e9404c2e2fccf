"""What the job must know: from the environment, which the command line adds to, and a secret scope."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingestion.errors import IngestionError
from ingestion.kafka_auth import NONE, is_databricks, is_secret, login_options

# Settings of this job that share the prefix with Kafka's own options.
OWN_SETTINGS = {"KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SECRET_SCOPE", "KAFKA_AUTH", "KAFKA_SERVICE_CREDENTIAL"}


@dataclass(frozen=True)
class Config:
    """Where to read, where to write.

    Attributes:
        bootstrap_servers: brokers as the Spark server reaches them, `host:port[,host:port…]`.
        checkpoints: folder (on Databricks, in a volume) that holds one checkpoint per topic.
        topic_prefix: topics whose name starts so are landed; the rest of the name is the table's.
        schema: Bronze schema, `schema` or `catalog.schema`.
        kafka_options: further options of the Kafka client, by Kafka's names without `kafka.`.
        service_credential: Unity Catalog's name of what to log in to Kafka with; None is what the options say.
        max_offsets_per_trigger: most messages of a topic in one micro-batch; None is no limit.
        hidden: texts that no log and no error may show.

    Raises:
        IngestionError: the schema is no name of one.
    """

    bootstrap_servers: str
    checkpoints: str
    topic_prefix: str = "bank.public."
    schema: str = "bronze"
    kafka_options: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a password
    service_credential: str | None = None
    max_offsets_per_trigger: int | None = None
    hidden: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        parts = self.schema.split(".")
        if len(parts) > 2 or not all(part.strip("`") for part in parts):
            raise IngestionError(f"{self.schema} is not the name of a schema. Write schema or catalog.schema.")

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str],
        *,
        secrets: Mapping[str, str] | None = None,
        max_offsets_per_trigger: int | None = None,
    ) -> Config:
        """Read the settings.

        `KAFKA_BOOTSTRAP_SERVERS` and `CHECKPOINTS` are needed; `TOPIC_PREFIX` and `BRONZE_SCHEMA` have defaults.
        `KAFKA_AUTH` says how to log in (`ingestion.kafka_auth`), or `KAFKA_SERVICE_CREDENTIAL` does. Any other
        `KAFKA_<OPTION>` is an option of the Kafka client: `KAFKA_SECURITY_PROTOCOL` is `security.protocol`.

        Args:
            environment: as `os.environ`.
            secrets: options of the Kafka client by their own names (`sasl.jaas.config`); they win.
            max_offsets_per_trigger: see the class.

        Raises:
            IngestionError: a needed setting is missing, or one makes no sense.
        """
        missing = [name for name in ("KAFKA_BOOTSTRAP_SERVERS", "CHECKPOINTS") if not environment.get(name)]
        if missing:
            raise IngestionError(
                f"Not set: {', '.join(missing)}. For the local stack run: make up; elsewhere set it in the environment "
                "or by its option (ingestion --help)."
            )
        options = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): value
            for name, value in environment.items()
            if name.startswith("KAFKA_") and name not in OWN_SETTINGS
        }
        options.update(secrets or {})
        method = environment.get("KAFKA_AUTH") or NONE
        service_credential = environment.get("KAFKA_SERVICE_CREDENTIAL") or None
        if service_credential and method != NONE:
            raise IngestionError(
                f"The service credential {service_credential} and the Kafka login {method} are two ways to log in. "
                "Choose one."
            )
        if service_credential and not is_databricks(environment):
            raise IngestionError("A service credential is there on Databricks only. Elsewhere log in by --kafka-auth.")
        return cls(
            bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"],
            checkpoints=environment["CHECKPOINTS"].rstrip("/"),
            topic_prefix=environment.get("TOPIC_PREFIX", cls.topic_prefix),
            schema=environment.get("BRONZE_SCHEMA", cls.schema),
            kafka_options=login_options(
                method,
                options,
                shaded=is_databricks(environment),
                secret_scope=environment.get("KAFKA_SECRET_SCOPE", ""),
            ),
            service_credential=service_credential,
            max_offsets_per_trigger=max_offsets_per_trigger,
            hidden=frozenset(value for name, value in options.items() if value and is_secret(name)),
        )

    def reader_options(self) -> dict[str, str]:
        """Options of Spark's Kafka source (Structured Streaming + Kafka integration guide).

        `databricks.serviceCredential` is Databricks' own, and takes the place of all options about security
        (docs.databricks.com/aws/en/connect/streaming/kafka/authentication).
        """
        options = {
            "kafka.bootstrap.servers": self.bootstrap_servers,
            **{f"kafka.{name}": value for name, value in self.kafka_options.items()},
            # What an aborted transaction sent never happened.
            "kafka.isolation.level": "read_committed",
            "startingOffsets": "earliest",
            "failOnDataLoss": "true",
            "includeHeaders": "true",
        }
        if self.service_credential is not None:
            options["databricks.serviceCredential"] = self.service_credential
        if self.max_offsets_per_trigger is not None:
            options["maxOffsetsPerTrigger"] = str(self.max_offsets_per_trigger)
        return options

    @property
    def schema_name(self) -> str:
        """The Bronze schema as SQL writes it."""
        return ".".join(sql_name(part) for part in self.schema.split("."))

    def table_of(self, topic: str) -> str:
        """The Bronze table of a topic as SQL writes it: `bank.public.transactions` lands in `bronze.transactions`."""
        name = re.sub(r"[^a-z0-9_]", "_", topic.removeprefix(self.topic_prefix).lower())
        return f"{self.schema_name}.{sql_name(name)}"

    def checkpoint_of(self, topic: str, life: int = 1) -> str:
        """The checkpoint of a topic's query, in one life of the topic: `@` stands in no topic's name."""
        return f"{self.checkpoints}/{topic}" + (f"@{life}" if life > 1 else "")

    def without_secrets(self, text: str) -> str:
        """The text, as a log or an error may show it."""
        for secret in sorted(self.hidden, key=len, reverse=True):
            text = text.replace(secret, "[hidden]")
        return text


def sql_name(part: str) -> str:
    """One part of a name in SQL, in backticks where it needs them: Unity Catalog's may hold a hyphen, say."""
    part = part.strip("`")
    return part if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", part) else f"`{part}`"


def last_part(name: str) -> str:
    """The last part of a table's name in SQL, without backticks: `main.bronze.transactions` is `transactions`."""
    return name.rpartition(".")[2].strip("`")
