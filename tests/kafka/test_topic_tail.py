"""Reading a topic and what is added to it, on the embedded broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from agent.kafka.client import new_producer
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.topic_tail import tail
from agent.settings import Settings, load_settings
from tests.kafka.support import until


@pytest.fixture
def settings() -> Iterator[Settings]:
    with EmbeddedBroker() as broker:
        yield load_settings(brokers=broker.address, create_topics=False)


@asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = new_producer(settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, [b"0", b"1", b"2", b"new"]),
        (2, [b"1", b"2", b"new"]),
        (9, [b"0", b"1", b"2", b"new"]),
    ],
    ids=["all", "the last two", "more than there are"],
)
async def test_what_was_there_comes_before_the_end_and_what_is_added_after_it(
    last: int | None, expected: list[bytes], settings: Settings
) -> None:
    read: list[bytes | str | None] = []
    async with producing(settings) as producer:
        for number in range(3):
            await producer.send_and_wait("news", str(number).encode(), key=b"k", partition=0)
        tailing = asyncio.create_task(
            tail(
                settings,
                "news",
                lambda _, value: read.append(value),
                lambda: read.append("end"),
                last,
            )
        )
        await until(lambda: "end" in read)
        await producer.send_and_wait("news", b"new", key=b"k", partition=0)
        await until(lambda: read[-1] == b"new")
        tailing.cancel()
    assert read == [*expected[:-1], "end", b"new"]


async def test_records_without_a_key_are_left_out_and_tombstones_are_not(
    settings: Settings,
) -> None:
    read: list[tuple[bytes, bytes | None]] = []
    ended = asyncio.Event()
    async with producing(settings) as producer:
        await producer.send_and_wait("news", b"no key", partition=1)
        await producer.send_and_wait("news", b"1", key=b"a", partition=1)
        await producer.send_and_wait("news", None, key=b"a", partition=1)
    tailing = asyncio.create_task(
        tail(settings, "news", lambda key, value: read.append((key, value)), ended.set)
    )
    async with asyncio.timeout(60):
        await ended.wait()
    tailing.cancel()
    assert read == [(b"a", b"1"), (b"a", None)]
