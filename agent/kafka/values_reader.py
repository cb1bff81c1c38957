"""Delivers the records of the values topic to a receiver, at least once.

Workers share its partitions as a consumer group of their own. A record is committed once `deliver`
has returned: after a crash it is delivered again. While `deliver` waits, records wait in the topic,
within its retention.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError

from agent import clock
from agent.kafka.client import connection, running
from agent.kafka.fetched import Record
from agent.settings import Settings

log = logging.getLogger(__name__)

POLL_MS = 500
MOST_RECORDS = 5_000
COMMIT_TIMEOUT_SECONDS = 10.0
MOST_WAIT_MS = 7 * 24 * 3_600_000
"""How long `deliver` may take before the group reassigns the partitions: a receiver that is down
for one worker is down for all."""

Deliver = Callable[[Sequence[Record]], Awaitable[None]]


class DeliveryProgress(Protocol):
    """The receiver of the reader's reports."""

    def waiting(self, records: int, oldest_ms: int) -> None:
        """So many records wait; all written before `oldest_ms` (wall clock) are delivered."""

    def expired(self, records: int) -> None:
        """So many records were deleted before they were delivered."""


class ValuesReader:
    """Reads the values topic for one receiver. `name`: the suffix of the consumer group."""

    def __init__(
        self, settings: Settings, topic: str, name: str, progress: DeliveryProgress
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._group = f"{settings.group}-{name}"
        self._progress = progress
        self._next: dict[TopicPartition, int] = {}

    async def run(self, deliver: Deliver) -> None:
        """Deliver records, in the order of each partition, until cancelled. Raises KafkaError."""
        consumer = AIOKafkaConsumer(
            **connection(self._settings), group_id=self._group, enable_auto_commit=False,
            auto_offset_reset="earliest", isolation_level="read_committed",
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            session_timeout_ms=int(self._settings.session_timeout * 1000),
            heartbeat_interval_ms=int(self._settings.session_timeout * 1000 / 4),
            max_poll_interval_ms=MOST_WAIT_MS,
        )  # fmt: skip
        consumer.subscribe([self._topic], listener=_Assigned(self, consumer))
        async with running(consumer):
            while True:
                fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
                self._note(consumer, fetched)
                if fetched:
                    await deliver([r for records in fetched.values() for r in records])
                    await self._commit(consumer, fetched)

    async def resume(self, consumer: AIOKafkaConsumer, tps: Collection[TopicPartition]) -> None:
        """Note the committed offsets of assigned partitions."""
        self._next = {}
        for tp in tps:
            committed = await consumer.committed(tp)
            if committed is not None:
                self._next[tp] = committed

    def _note(
        self, consumer: AIOKafkaConsumer, fetched: Mapping[TopicPartition, Sequence[Record]]
    ) -> None:
        """Report how many records wait, and how many were deleted before they were read."""
        oldest_ms = clock.now_ms()
        for tp, records in fetched.items():
            oldest_ms = min(oldest_ms, records[0].timestamp)
            missed = records[0].offset - self._next.get(tp, records[0].offset)
            if missed > 0:
                log.error(
                    "topic %s partition %d: %d records were deleted before they were delivered "
                    "(retention.ms, retention.bytes)", tp.topic, tp.partition, missed,
                )  # fmt: skip
                self._progress.expired(missed)
            self._next[tp] = records[-1].offset + 1
        waiting = sum(map(len, fetched.values()))
        for tp in consumer.assignment():
            end = consumer.highwater(tp)
            if end is not None and tp in self._next:
                waiting += max(0, end - self._next[tp])
        self._progress.waiting(waiting, oldest_ms)

    async def _commit(
        self, consumer: AIOKafkaConsumer, fetched: Mapping[TopicPartition, Sequence[Record]]
    ) -> None:
        ours = consumer.assignment()
        offsets = {tp: records[-1].offset + 1 for tp, records in fetched.items() if tp in ours}
        try:
            if offsets:
                await asyncio.wait_for(consumer.commit(offsets), COMMIT_TIMEOUT_SECONDS)
        except (CommitFailedError, IllegalStateError, TimeoutError) as error:
            # The partitions were reassigned meanwhile: their owner delivers these again.
            log.info("messages of %s are delivered again: %r", self._topic, error)


class _Assigned(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, reader: ValuesReader, consumer: AIOKafkaConsumer) -> None:
        self._reader = reader
        self._consumer = consumer

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Do nothing: records under way are delivered, and not committed."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._reader.resume(self._consumer, assigned)
