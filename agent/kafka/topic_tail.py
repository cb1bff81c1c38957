"""Reads a topic and then follows it, without a consumer group: every worker reads all partitions.
`topic_reader` reads up to given offsets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent.kafka.client import new_reader, running
from agent.settings import Settings

log = logging.getLogger(__name__)

WAIT_MS = 10_000
"""How long a fetch waits for new records. The broker responds at once when one arrives."""
RETRY_SECONDS = 2.0
MAX_POLL_RECORDS = 5_000

OnRecord = Callable[[bytes, bytes | None], None]
"""Called with the key and the value of a record."""


async def tail(
    settings: Settings,
    topic: str,
    on_record: OnRecord,
    on_end: Callable[[], None],
    last: int | None = None,
) -> None:
    """Pass every record with a key to `on_record`, until cancelled, whatever happens to the
    brokers.

    Begins at the topic's start, or at the `last` records of each partition. Calls `on_end` when all
    is read that was there at the start. After a failure it starts over: records come again.
    """
    while True:
        try:
            await _read(settings, topic, on_record, on_end, last)
        except KafkaError as error:
            log.debug("reading %s starts over: %r", topic, error)
            await asyncio.sleep(RETRY_SECONDS)


async def _read(
    settings: Settings,
    topic: str,
    on_record: OnRecord,
    on_end: Callable[[], None],
    last: int | None,
) -> None:
    consumer = new_reader(
        settings, topic, fetch_max_wait_ms=WAIT_MS,
        consumer_timeout_ms=WAIT_MS,
    )  # fmt: skip
    async with running(consumer):
        # Requested now: later, the response would wait behind a waiting fetch.
        ends = await consumer.end_offsets(list(consumer.assignment()))
        if last is not None:
            for tp, end in ends.items():
                consumer.seek(tp, max(0, end - last))  # the start, where that is gone
        at_end = False
        while True:
            if not at_end and await _has_reached(consumer, ends):
                at_end = True
                on_end()
            fetched = await consumer.getmany(timeout_ms=WAIT_MS, max_records=MAX_POLL_RECORDS)
            for records in fetched.values():
                for record in records:
                    if record.key is not None:
                        on_record(record.key, record.value)
                await asyncio.sleep(0)


async def _has_reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    """Whether everything before these offsets is read."""
    for tp, end in ends.items():
        if await consumer.position(tp) < end:
            return False
    return bool(ends)
