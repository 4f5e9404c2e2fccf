"""What Spark tells, in the ways its versions and places tell it, and what is made of it for a person."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.errors import PySparkException

from ingestion import Config
from ingestion.explain import explain, why_login_failed
from ingestion.lives import offsets

CONFIG = Config("one:9096", "/somewhere", hidden=frozenset({"secret-word"}))


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ('{"shop.orders":{"0":5,"1":7}}', {"shop.orders": {"0": 5, "1": 7}}),
        ({"shop.orders": {"0": 5}}, {"shop.orders": {"0": 5}}),
        ("{}", {}),
        ("null", {}),
        ("None", {}),
        (None, {}),
    ],
)
def test_offsets_are_read_as_each_pyspark_tells_them(told: Any, meant: dict[str, dict[str, int]]) -> None:
    assert offsets(told) == meant


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[INFINITE_STREAMING_TRIGGER_NOT_SUPPORTED] Trigger type ProcessingTime is not supported for this cluster.",
            "shop.orders: this compute has no continuous trigger. Run available-now again and again, in a continuous "
            "job.",
        ),
        (
            "\n[INSUFFICIENT_PERMISSIONS] User does not have CREATE TABLE on Schema 'a.b'.\nat x",
            "shop.orders: [INSUFFICIENT_PERMISSIONS] User does not have CREATE TABLE on Schema 'a.b'.",
        ),
        ("Not with secret-word.", "shop.orders: Not with [hidden]."),
    ],
)
def test_what_spark_says_becomes_one_line(text: str, line: str) -> None:
    assert explain(PySparkException(text), CONFIG, "shop.orders") == line


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "LoginException: An internal error occurred while retrieving token from callback handler",
            "the token endpoint doesn't answer, or with no token",
        ),
        ("LoginException: something new", "Kafka's client can't make sense of it"),
    ],
)
def test_why_a_login_failed(text: str, why: str) -> None:
    """Answers of a real broker and token endpoint: tests/python/integration/test_ingestion_on_databricks.py."""
    assert why_login_failed(text) == why
