"""Reading a whole topic, and then what is added to it, without a consumer group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from agent.kafka.client import connection
from agent.settings import Settings

log = logging.getLogger(__name__)

POLL_MS = 500
IDLE_MS = 2_000  # how long the broker may hold an answer back while there is nothing to tell
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
        fetch_max_wait_ms=IDLE_MS,
    )  # fmt: skip
    caught_up = False
    try:
        await consumer.start()
        if last is not None:
            await _skip_to(consumer, last)
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_A_POLL)
            for records in fetched.values():
                for record in records:
                    if record.key is not None:
                        take(record.key, record.value)
                await asyncio.sleep(0)
            if not caught_up and not fetched and await _at_end(consumer):
                caught_up = True
                complete()
    finally:
        await consumer.stop()


async def _skip_to(consumer: AIOKafkaConsumer, last: int) -> None:
    assigned = list(consumer.assignment())
    starts = await consumer.beginning_offsets(assigned)
    ends = await consumer.end_offsets(assigned)
    for tp in assigned:
        consumer.seek(tp, max(starts[tp], ends[tp] - last))


async def _at_end(consumer: AIOKafkaConsumer) -> bool:
    assigned = list(consumer.assignment())
    if not assigned:
        return False
    ends = await consumer.end_offsets(assigned)
    for tp, end in ends.items():
        if await consumer.position(tp) < end:
            return False
    return True
