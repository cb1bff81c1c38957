"""Remote write of this worker: sends the values topic, as samples, to the receiver of the settings.

A worker is ready without it: windows close and alerts are sent independently.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from agent.core.model.plan import Plan
from agent.core.output.value_messages import read_value
from agent.export.remote_write.metrics import RemoteWriteMetrics
from agent.export.remote_write.sender import Sender
from agent.export.remote_write.value_samples import SampleMaker
from agent.export.remote_write.wire import Sample
from agent.kafka.fetched import Record
from agent.kafka.topics import TopicNames
from agent.kafka.values_reader import ValuesReader
from agent.settings import Settings

log = logging.getLogger(__name__)


class RemoteWriter:
    """Sends published values under the metric names of one plan. Counts in `metrics`."""

    def __init__(self, settings: Settings, plan: Plan, metrics: RemoteWriteMetrics) -> None:
        self._settings = settings
        self._maker = SampleMaker(plan, settings.labels)
        self._metrics = metrics

    async def run(self) -> None:
        """Deliver until cancelled. Raises KafkaError."""
        topic = TopicNames.of(self._settings).values
        async with Sender(self._settings, self._metrics) as sender:

            async def deliver(records: Sequence[Record]) -> None:
                # Thousands of messages are a tenth of a second: not on the loop.
                await sender.deliver(await asyncio.to_thread(self._samples, records))

            await ValuesReader(self._settings, topic, "remote-write", self).run(deliver)

    def waiting(self, records: int, oldest_ms: int) -> None:
        """Note how many records are not sent yet, and the time of the oldest."""
        self._metrics.pending.set(records)
        self._metrics.delivered.set(oldest_ms / 1000)

    def expired(self, records: int) -> None:
        """Count records that were deleted before they were sent."""
        self._metrics.dropped.labels("expired").inc(records)

    def _samples(self, records: Sequence[Record]) -> list[Sample]:
        samples: list[Sample] = []
        for record in records:
            try:
                message = read_value(record.value or b"")
            except ValueError as error:
                self._metrics.dropped.labels("unreadable").inc()
                log.warning(
                    "topic %s partition %d offset %d is not a value, and is not sent: %s",
                    record.topic, record.partition, record.offset, error,
                )  # fmt: skip
                continue
            of_message = self._maker.samples(message)
            if of_message is None:
                self._metrics.dropped.labels("undeclared").inc()
            else:
                samples += of_message
        return samples
