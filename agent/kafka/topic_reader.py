"""Reading a stretch of a topic that has an end, without a consumer group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from agent.kafka.client import connection
from agent.settings import Settings

POLL_MS = 1_000

Record: TypeAlias = "ConsumerRecord[Any, Any]"


async def read_newest(
    settings: Settings, topic: str, partitions: Sequence[int], most: int
) -> list[Record]:
    """The newest records of each partition, at most so many offsets of it, each partition in its
    order. Raises KafkaError where no broker answers."""
    consumer = AIOKafkaConsumer(
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in partitions]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        starts = await consumer.beginning_offsets(tps)
        for tp in tps:
            consumer.seek(tp, max(starts[tp], ends[tp] - most))
        return await read_to(consumer, {tp: ends[tp] for tp in tps if starts[tp] < ends[tp]})
    finally:
        await consumer.stop()


async def read_to(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> list[Record]:
    """Everything from a consumer's positions up to these offsets."""
    by_partition: dict[TopicPartition, list[Record]] = {tp: [] for tp in ends}
    reading = set(ends)
    while reading:
        for tp, records in (await consumer.getmany(*reading, timeout_ms=POLL_MS)).items():
            by_partition[tp] += [record for record in records if record.offset < ends[tp]]
        # The position also passes what holds no record: markers of transactions, and gaps.
        reading = {tp for tp in reading if await consumer.position(tp) < ends[tp]}
    return [record for records in by_partition.values() for record in records]
