"""The consumer of the source topics, on the embedded broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata

from agent.kafka.client import new_producer
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.source_consumer import SourceConsumer
from agent.settings import Settings, load_settings

FIRST = TopicPartition("orders", 0)


@pytest.fixture
def settings() -> Iterator[Settings]:
    with EmbeddedBroker() as broker:
        yield load_settings(brokers=broker.address, create_topics=False, session_timeout=6)


@pytest.fixture
async def consumer(settings: Settings) -> AsyncIterator[SourceConsumer]:
    """A consumer at the starts of all partitions of `orders`; the first has three records."""
    producer = new_producer(settings)
    await producer.start()
    for number in range(3):
        await producer.send_and_wait("orders", str(number).encode(), partition=0)
    await producer.stop()
    assigned = asyncio.Event()

    async def on_revoked(_: Sequence[TopicPartition]) -> None:
        pass

    async def on_assigned(tps: Sequence[TopicPartition]) -> None:
        for tp in tps:
            made.seek(tp, 0)
        assigned.set()

    made = SourceConsumer(settings, on_revoked, on_assigned)
    await made.start()
    made.subscribe(["orders"])
    async with asyncio.timeout(60):
        await assigned.wait()
    yield made
    await made.stop()


async def fetch(consumer: SourceConsumer, count: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    async with asyncio.timeout(60):
        while len(values) < count:
            fetched = await consumer.fetch(200)
            values += [value for records in fetched.values() for value in records.values]
    return values


async def test_it_reads_from_where_it_is_told_to_and_knows_how_far_it_is(
    consumer: SourceConsumer,
) -> None:
    assert await fetch(consumer, 3) == [b"0", b"1", b"2"]
    assert await consumer.remaining(FIRST) == 0
    assert await consumer.is_at_end([FIRST])
    consumer.seek(FIRST, 1)
    assert await consumer.remaining(FIRST) == 2
    assert not await consumer.is_at_end([FIRST])
    assert await fetch(consumer, 2) == [b"1", b"2"]
    answered_ms = consumer.answered_ms(FIRST)
    assert answered_ms is not None and abs(time.time() * 1000 - answered_ms) < 60_000


async def test_it_knows_the_logs_and_commits_for_its_group(consumer: SourceConsumer) -> None:
    assert consumer.group == "kpi-agent-ingest" and consumer.is_subscribed
    assert consumer.partition_count("orders") == PARTITIONS
    assert await consumer.log_starts([FIRST]) == {FIRST: 0}
    assert await consumer.log_ends([FIRST]) == {FIRST: 3}
    assert await consumer.commit({FIRST: OffsetAndMetadata(2, "as far as this")})


async def test_a_fetch_that_waits_can_be_interrupted(consumer: SourceConsumer) -> None:
    await fetch(consumer, 3)
    fetching = asyncio.create_task(consumer.fetch(600_000))
    await asyncio.sleep(0.2)
    consumer.interrupt()
    async with asyncio.timeout(60):
        assert await fetching == {}


async def test_a_paused_partition_is_not_fetched(consumer: SourceConsumer) -> None:
    consumer.pause(FIRST)
    assert await consumer.fetch(500) == {}


async def test_a_position_outside_its_log_is_an_error_and_no_jump(
    consumer: SourceConsumer,
) -> None:
    await fetch(consumer, 3)
    consumer.seek(FIRST, 99)
    with pytest.raises(OffsetOutOfRangeError) as error:
        async with asyncio.timeout(60):
            while True:
                await consumer.fetch(200)
    assert error.value.args[0] == {FIRST: 99}


async def test_a_partition_of_somebody_else_has_no_position(consumer: SourceConsumer) -> None:
    foreign = TopicPartition("visits", 0)
    assert await consumer.remaining(foreign) is None
    assert consumer.answered_ms(foreign) is None
    assert not await consumer.commit({foreign: OffsetAndMetadata(0, "")})
