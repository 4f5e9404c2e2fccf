"""What the job must know, from the environment or a Databricks secret scope; never from the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# Settings of this job that share the prefix with Kafka's own options.
OWN_SETTINGS = {"KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SECRET_SCOPE"}


class IngestionError(Exception):
    """Something the user can mend. The message is one line: what is wrong, and what to do."""


@dataclass(frozen=True)
class Config:
    """Where to read, where to write.

    Attributes:
        bootstrap_servers: brokers as the Spark server reaches them, `host:port[,host:port…]`.
        checkpoints: folder (or volume) that holds one checkpoint per topic.
        topic_prefix: topics whose name starts so are landed; the rest of the name is the table's.
        schema: Bronze schema, `schema` or `catalog.schema`.
        kafka_options: further options of the Kafka client, by Kafka's names without `kafka.`.
        max_offsets_per_trigger: most messages of a topic in one micro-batch; None is no limit.
    """

    bootstrap_servers: str
    checkpoints: str
    topic_prefix: str = "bank.public."
    schema: str = "bronze"
    kafka_options: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a password
    max_offsets_per_trigger: int | None = None

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str],
        *,
        secrets: Mapping[str, str] | None = None,
        max_offsets_per_trigger: int | None = None,
    ) -> Config:
        """Read the settings.

        `KAFKA_BOOTSTRAP_SERVERS` and `CHECKPOINTS` are needed; `TOPIC_PREFIX` and `BRONZE_SCHEMA` have defaults. Any
        other `KAFKA_<OPTION>` is an option of the Kafka client: `KAFKA_SECURITY_PROTOCOL` is `security.protocol`.

        Args:
            environment: as `os.environ`.
            secrets: options of the Kafka client by their own names (`sasl.jaas.config`); they win.
            max_offsets_per_trigger: see the class.

        Raises:
            IngestionError: a needed setting is missing.
        """
        missing = [name for name in ("KAFKA_BOOTSTRAP_SERVERS", "CHECKPOINTS") if not environment.get(name)]
        if missing:
            raise IngestionError(
                f"Not set: {', '.join(missing)}. For the local stack run: make up; elsewhere set it in the environment."
            )
        options = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): value
            for name, value in environment.items()
            if name.startswith("KAFKA_") and name not in OWN_SETTINGS
        }
        return cls(
            bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"],
            checkpoints=environment["CHECKPOINTS"].rstrip("/"),
            topic_prefix=environment.get("TOPIC_PREFIX", cls.topic_prefix),
            schema=environment.get("BRONZE_SCHEMA", cls.schema),
            kafka_options={**options, **(secrets or {})},
            max_offsets_per_trigger=max_offsets_per_trigger,
        )

    def reader_options(self) -> dict[str, str]:
        """Options of Spark's Kafka source (Structured Streaming + Kafka integration guide)."""
        options = {
            "kafka.bootstrap.servers": self.bootstrap_servers,
            **{f"kafka.{name}": value for name, value in self.kafka_options.items()},
            "startingOffsets": "earliest",
            "failOnDataLoss": "true",
            "includeHeaders": "true",
        }
        if self.max_offsets_per_trigger is not None:
            options["maxOffsetsPerTrigger"] = str(self.max_offsets_per_trigger)
        return options

    def table_of(self, topic: str) -> str:
        """The Bronze table of a topic: `bank.public.transactions` lands in `bronze.transactions`."""
        name = re.sub(r"[^a-z0-9_]", "_", topic.removeprefix(self.topic_prefix).lower())
        return f"{self.schema}.{name}"

    def checkpoint_of(self, topic: str) -> str:
        """The checkpoint of a topic's query."""
        return f"{self.checkpoints}/{topic}"
