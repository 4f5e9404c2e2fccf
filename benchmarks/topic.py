"""Messages of the transactions' topic: read as they are, and sent again, as Debezium does after a crash."""

from __future__ import annotations

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks.chain import TOPIC


def end(servers: str) -> int:
    """The next offset of the topic's one partition."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "benchmarks"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=30)[1])
    finally:
        consumer.close()


def messages_since(servers: str, offset: int) -> list[Message]:
    """All messages from an offset to the end, tombstones too."""
    stop = end(servers)
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "benchmarks", "enable.auto.commit": False})
    found: list[Message] = []
    try:
        consumer.assign([TopicPartition(TOPIC, 0, offset)])
        while not found or (found[-1].offset() or 0) + 1 < stop:
            found += consumer.consume(min(10_000, stop - offset - len(found)), timeout=30)
        return found
    finally:
        consumer.close()


def send_again(servers: str, messages: list[Message]) -> None:
    """Put messages at the topic's end, in order, as they were."""
    # One request at a time, so that a repeated one doesn't change the order.
    producer = Producer({"bootstrap.servers": servers, "max.in.flight.requests.per.connection": 1, "linger.ms": 5})
    for message in messages:
        producer.produce(TOPIC, key=message.key(), value=message.value(), headers=message.headers(), partition=0)
        producer.poll(0)
    producer.flush(60)
