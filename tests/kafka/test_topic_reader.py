"""Reading the end of a topic, on the embedded broker."""

from __future__ import annotations

from agent.kafka.client import new_producer
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.topic_reader import read_newest
from agent.settings import load_settings


async def test_the_newest_records_of_each_partition_are_read_in_their_order(
    broker: EmbeddedBroker,
) -> None:
    settings = load_settings(brokers=broker.address, create_topics=False)
    producer = new_producer(settings)
    await producer.start()
    for number in range(5):
        await producer.send_and_wait("news", str(number).encode(), partition=0)
    await producer.send_and_wait("news", b"other", partition=2)
    await producer.stop()
    records = await read_newest(settings, "news", range(PARTITIONS), 3)
    read = [(record.partition, record.value) for record in records]
    assert read == [(0, b"2"), (0, b"3"), (0, b"4"), (2, b"other")]
