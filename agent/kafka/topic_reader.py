"""Reads topics up to given offsets, without a consumer group. `topic_tail` reads on for ever."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from agent.kafka.client import new_reader, running
from agent.kafka.fetched import Record
from agent.settings import Settings

POLL_MS = 1_000

Progress = Callable[[int, int], None]
"""Called with how many records of how many have been read."""


def no_progress(_done: int, _all: int) -> None:
    """Report nothing."""


async def read_newest(
    settings: Settings, topic: str, partitions: Sequence[int], most: int
) -> list[Record]:
    """The records at the last `most` offsets of each partition, partition by partition in the order
    of their offsets. Raises KafkaError where no broker answers."""
    by_partition: dict[int, list[Record]] = {partition: [] for partition in partitions}
    async with aclosing(all_records(settings, {topic: partitions}, most)) as batches:
        async for _, _, records in batches:
            for record in records:
                by_partition[record.partition].append(record)
    return list(chain.from_iterable(by_partition.values()))


async def fetch_to(
    consumer: AIOKafkaConsumer,
    ends: Mapping[TopicPartition, int],
    max_records: int | None = None,
) -> AsyncIterator[Mapping[TopicPartition, Any]]:
    """What a consumer fetches from its positions until it has reached these offsets; the last
    fetches may hold records behind them."""
    behind = set(ends)
    while behind:
        yield await consumer.getmany(*behind, timeout_ms=POLL_MS, max_records=max_records)
        # The position also passes what holds no record: markers of transactions, and gaps.
        behind = {tp for tp in behind if await consumer.position(tp) < ends[tp]}


async def all_records(
    settings: Settings, partitions: Mapping[str, Sequence[int]], most: int | None = None
) -> AsyncGenerator[tuple[int, int, list[Record]], None]:
    """All records of topics up to where they end now, or those at the last `most` offsets of each
    partition, in batches: how many offsets of how many have been read, and the records. Use it in
    `aclosing`."""
    async with running(new_reader(settings)) as consumer:
        tps = [TopicPartition(topic, p) for topic, numbers in partitions.items() for p in numbers]
        consumer.assign(tps)
        ends, starts = await consumer.end_offsets(tps), await consumer.beginning_offsets(tps)
        if most is not None:
            starts = {tp: max(start, ends[tp] - most) for tp, start in starts.items()}
        for tp in tps:
            consumer.seek(tp, starts[tp])
        done, whole = 0, sum(ends[tp] - starts[tp] for tp in tps)
        ends = {tp: end for tp, end in ends.items() if starts[tp] < end}
        async for fetched in fetch_to(consumer, ends):
            done += sum(map(len, fetched.values()))
            yield (
                done,
                whole,
                [r for tp, batch in fetched.items() for r in batch if r.offset < ends[tp]],
            )
