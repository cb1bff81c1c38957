"""Reading a whole topic, and then what is added to it, without a consumer group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent.kafka.client import connection
from agent.settings import Settings

log = logging.getLogger(__name__)

IDLE_MS = 10_000
"""How long the broker may hold an answer back, and we wait for one, while there is nothing to tell.
Something that comes is told at once."""
RETRY_SECONDS = 2.0
MOST_A_POLL = 5_000

Take = Callable[[bytes, bytes | None], None]


async def follow(
    settings: Settings,
    topic: str,
    take: Take,
    complete: Callable[[], None],
    last: int | None = None,
) -> None:
    """Give every record with a key to `take`, for ever, whatever happens to the brokers.

    Begins at the topic's start, or at the `last` records of each partition. Says `complete` each
    time that it has come to the end. After a failure it begins anew: records come again.
    """
    while True:
        try:
            await _read(settings, topic, take, complete, last)
        except KafkaError as error:
            log.debug("%s is read anew: %r", topic, error)
            await asyncio.sleep(RETRY_SECONDS)


async def _read(
    settings: Settings, topic: str, take: Take, complete: Callable[[], None], last: int | None
) -> None:
    # Without a group, a consumer reads all partitions.
    consumer = AIOKafkaConsumer(
        topic, **connection(settings), enable_auto_commit=False, auto_offset_reset="earliest",
        fetch_max_wait_ms=IDLE_MS, consumer_timeout_ms=IDLE_MS,
    )  # fmt: skip
    try:
        await consumer.start()
        # Asked now: later, the answer would wait behind a fetch that waits for something to come.
        ends = await consumer.end_offsets(list(consumer.assignment()))
        if last is not None:
            for tp, end in ends.items():
                consumer.seek(tp, max(0, end - last))  # the start, where that is gone
        caught_up = False
        while True:
            if not caught_up and await _has_reached(consumer, ends):
                caught_up = True
                complete()
            fetched = await consumer.getmany(timeout_ms=IDLE_MS, max_records=MOST_A_POLL)
            for records in fetched.values():
                for record in records:
                    if record.key is not None:
                        take(record.key, record.value)
                await asyncio.sleep(0)
    finally:
        await consumer.stop()


async def _has_reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    """Whether all is read that was there at the start."""
    for tp, end in ends.items():
        if await consumer.position(tp) < end:
            return False
    return bool(ends)
