"""What Spark and Kafka say, as one line for a person."""

from __future__ import annotations

import re

from pyspark.errors import PySparkException

from ingestion.config import Config
from ingestion.session import spark_ended, told_that_spark_ended


def explain(error: PySparkException, config: Config, topic: str, life: int = 1) -> str:
    """One line on why a topic's query ended: what is wrong, and what to do."""
    if spark_ended(error):
        return told_that_spark_ended()
    text = str(error)
    if "KAFKA_DATA_LOSS" in text or "failOnDataLoss" in text:
        lost = re.search(r"\[KAFKA_DATA_LOSS[^\]]*\]\s*([^\n]+)", text)
        gone = re.search(r"FetchPosition\{offset=(\d+).* is out of range for partition \S+-(\d+)", text)
        if gone:
            detail = f"offset {gone[1]} of partition {gone[2]} is the first that Kafka no longer holds."
        else:
            detail = lost[1].strip() if lost else "offsets that were still to be read are gone."
        return (
            f"{topic}: messages were lost before they were landed: {detail} "
            "Run this again. If it says the same, remove "
            f"{config.checkpoint_of(topic, life)} to go on with what Kafka still holds (what is landed already is "
            "recognised), then take a new snapshot of the table: see docs/runbook.md, 'Lost offsets'."
        )
    if "SaslAuthenticationException" in text or "LoginException" in text:
        return (
            f"{topic}: the login to Kafka fails: {config.without_secrets(why_login_failed(text))}. "
            "Look at --kafka-auth, and at its secrets in the secret scope or the environment."
        )
    if "SslAuthenticationException" in text or "SSLHandshakeException" in text:
        return (
            f"{topic}: the TLS handshake fails with Kafka at {config.bootstrap_servers}. If its certificate is a "
            "company's own, give the authority's as ssl.truststore.certificates, with ssl.truststore.type=PEM."
        )
    unmade = "Failed to create new KafkaAdminClient" in text and "No resolvable bootstrap" not in text
    if unmade and "TimeoutException" not in text:
        # Its cause is not told: what can't be read as a login may be a piece of a password.
        return (
            f"{topic}: Kafka's client can't be made of its options. Look at those that begin with sasl. and ssl., in "
            "--kafka-option, the secret scope and the environment."
        )
    if "TimeoutException" in text or "Failed to create new KafkaAdminClient" in text:
        return f"{topic}: Kafka does not answer at {config.bootstrap_servers}. Is it up? For the local stack: make up"
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    if "INFINITE_STREAMING_TRIGGER_NOT_SUPPORTED" in text:
        first = "this compute has no continuous trigger. Run available-now again and again, in a continuous job."
    return f"{topic}: {config.without_secrets(first)}"


def why_login_failed(text: str) -> str:
    """What Kafka's client says of it, in an error with its causes."""
    answer = re.search(r"response code (\d+) [^\n]*token endpoint", text)
    if answer:
        return f"the token endpoint answers {answer[1]}"
    if "retrieving token" in text:
        return "the token endpoint doesn't answer, or with no token"
    said = re.search(r"Authentication failed[^\n]*?(?=\.?\s*(?:SQLSTATE|\n|$))", text)
    return said[0] if said else "Kafka's client can't make sense of it"
