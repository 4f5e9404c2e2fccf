"""Secrets from where Databricks keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from ingestion.errors import IngestionError

# What is asked for of a scope, which may hold other secrets as well: options of the Kafka client about security.
PREFIXES = ("sasl.", "ssl.", "security.")


class SecretKey(Protocol):
    """One entry of a scope's list."""

    @property
    def key(self) -> str:
        """The secret's name."""


class SecretStore(Protocol):
    """What this job uses of Databricks' `dbutils.secrets`."""

    def get(self, scope: str, key: str) -> str:
        """A secret."""

    def list(self, scope: str) -> Sequence[SecretKey]:
        """Which secrets a scope holds."""


def kafka_secrets(scope: str, store: SecretStore | None = None) -> dict[str, str]:
    """The Kafka client's options in a secret scope, by key: `sasl.password`, `ssl.truststore.certificates`.

    Args:
        scope: its name.
        store: what to ask; None is Databricks' own `dbutils.secrets`.

    Raises:
        IngestionError: it can't be read.
    """
    store = store or databricks_secrets()
    try:
        names = [entry.key for entry in store.list(scope) if entry.key.startswith(PREFIXES)]
        return {name: store.get(scope, name) for name in names}
    except Exception as error:  # whatever the store raises: dbutils has no error class of its own
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise IngestionError(
            f"The secret scope {scope} can't be read: {reason.rstrip('.!')}. Does it exist, and may this job read it?"
        ) from None


def databricks_secrets() -> SecretStore:
    """Databricks' `dbutils.secrets`.

    Raises:
        IngestionError: this is not Databricks, and nothing leads to it.
    """
    try:
        from databricks.sdk.runtime import dbutils  # there on all Databricks compute; the wheel doesn't bring it

        return cast(SecretStore, dbutils.secrets)
    except Exception:  # no package, no account, or one that doesn't answer: all the same to the user
        raise IngestionError(
            "A secret scope is there on Databricks only. Elsewhere put secrets in the environment: KAFKA_SASL_PASSWORD "
            "is sasl.password."
        ) from None
