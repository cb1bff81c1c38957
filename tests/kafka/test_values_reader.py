"""What is published is delivered once it is acknowledged, and again where it was not.

How workers share the topic, and what retention takes: tests/integration/test_values_reader.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from agent.kafka.client import new_producer
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.fetched import Record
from agent.kafka.values_reader import Deliver, ValuesReader
from agent.service.tasks import keep
from agent.settings import Settings, load_settings
from tests.kafka.support import until

TOPIC = "values"


class Progress:
    """What the reader has reported."""

    def __init__(self) -> None:
        self.waits: list[int] = []
        self.oldest_ms = 0
        self.gone = 0

    def waiting(self, records: int, oldest_ms: int) -> None:
        self.waits.append(records)
        self.oldest_ms = oldest_ms

    def expired(self, records: int) -> None:
        self.gone += records


async def produce(settings: Settings, *values: str, partition: int = 0) -> None:
    producer = new_producer(settings)
    await producer.start()
    for value in values:
        await producer.send_and_wait(TOPIC, value.encode(), partition=partition)
    await producer.stop()


@asynccontextmanager
async def reading(settings: Settings, deliver: Deliver) -> AsyncIterator[Progress]:
    """A reader that starts again when it fails, as a service keeps it."""
    progress, over = Progress(), asyncio.Event()
    reader = ValuesReader(settings, TOPIC, "test", progress)
    task = asyncio.create_task(keep(lambda: reader.run(deliver), over, lambda *_: None))
    try:
        yield progress
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_what_was_not_acknowledged_is_delivered_again_and_nothing_else() -> None:
    with EmbeddedBroker() as broker:
        settings = load_settings(brokers=broker.address, create_topics=False, session_timeout=3)
        await produce(settings, "1", "2")
        got: list[bytes] = []
        holds = asyncio.Event()

        async def acknowledge(records: Sequence[Record]) -> None:
            got.extend(record.value for record in records)

        async def hang(records: Sequence[Record]) -> None:
            await acknowledge(records)
            holds.set()
            await asyncio.Event().wait()

        async with reading(settings, acknowledge) as progress:
            await until(lambda: got == [b"1", b"2"] and progress.waits[-1] == 0)
        await produce(settings, "3")
        async with reading(settings, hang) as progress:
            await asyncio.wait_for(holds.wait(), 60)
            assert progress.waits[-1] == 1
            await produce(settings, "4")
        assert got == [b"1", b"2", b"3"]
        async with reading(settings, acknowledge):
            await until(lambda: len(got) >= 5)
        assert got == [b"1", b"2", b"3", b"3", b"4"]
