"""The one schema of every Bronze table."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

LIFE = "topic_life"
LIFE_COLUMN = (
    f"{LIFE} INT COMMENT 'Life of the topic, counted from 1 (NULL is 1): an offset names a message within one'"
)

# Kafka's own columns as Spark's Kafka source names and types them, but for `timestampType`.
BRONZE_COLUMNS = f"""
    topic STRING COMMENT 'Kafka topic the message was on',
    partition INT COMMENT 'Partition of the topic',
    offset BIGINT COMMENT 'Offset in the partition',
    timestamp TIMESTAMP COMMENT 'When Kafka got the message, UTC',
    timestamp_type INT COMMENT '0: the producer set the timestamp, 1: the broker did',
    key BINARY COMMENT 'Message key, as it came',
    value BINARY COMMENT 'Message value, as it came; NULL is a tombstone',
    headers ARRAY<STRUCT<key: STRING, value: BINARY>> COMMENT 'Message headers, as they came',
    ingested_at TIMESTAMP COMMENT 'When the micro-batch that landed the message began, UTC',
    {LIFE_COLUMN}
"""


def to_bronze(messages: DataFrame, ingested_at: Column, topic_life: int = 1) -> DataFrame:
    """Kafka messages as Bronze rows, one for one: nothing parsed, nothing dropped.

    Args:
        messages: the Kafka source's columns (Structured Streaming + Kafka integration guide), headers included.
        ingested_at: UTC time of the micro-batch; the same for all of its rows.
        topic_life: which life of the topic they are of.

    Returns:
        Rows of `BRONZE_COLUMNS`.
    """
    return messages.select(
        F.col("topic"),
        F.col("partition"),
        F.col("offset"),
        F.col("timestamp"),
        F.col("timestampType").alias("timestamp_type"),
        F.col("key"),
        F.col("value"),
        F.col("headers"),
        ingested_at.alias("ingested_at"),
        F.lit(topic_life).alias(LIFE),
    )
