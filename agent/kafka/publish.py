"""What the agent publishes: values, alerts, rows of the board, and the frames between its stages.

Each method returns its sends; the caller waits for them (`acknowledged`) before it commits the
offsets of what they came from. Everything is published at least once, and consumers drop repeated
keys.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from agent import clock
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import Correction, Emitted
from agent.core.output import messages as encode
from agent.core.output.privacy import Privacy
from agent.core.state.rows import row_key
from agent.errors import EnvironmentFault, reason_of
from agent.kafka.frame_batches import join
from agent.kafka.topics import TopicNames

OutgoingRecord: TypeAlias = tuple[int, bytes | None, bytes | None]
"""A record to send: its partition, key and value."""


@dataclass(frozen=True, slots=True)
class Send:
    """What was sent to a partition, and the broker's answer to it."""

    topic: str
    partition: int
    answer: asyncio.Future[Any]


TOO_LARGE_HINT = (
    "max.message.bytes of the topic (message.max.bytes of the broker) must be at least 1048588, "
    "which is Kafka's default."
)
YIELD_EVERY = 500  # sends between two chances for other tasks, heartbeats among them


class Publisher:
    """Sends to the agent's topics through one producer."""

    def __init__(
        self, producer: AIOKafkaProducer, names: TopicNames, privacy: Privacy | None = None
    ) -> None:
        self._privacy = privacy or Privacy()
        self._producer = producer
        self._names = names
        self._since_yield = 0

    async def frames(self, frames: Iterable[tuple[int, bytes]]) -> list[Send]:
        """Frames, each to its state partition, in the order given."""
        records = ((partition, None, message) for partition, message in join(frames))
        return await self._send_many(self._names.frames, records)

    async def publish_emitted(self, plan: Plan, emitted: Emitted) -> list[Send]:
        """Closed windows and target states to the values topic, transitions to the alerts topic.

        Each window and each transition has a key of its own, so that repeats can be dropped. The
        partition depends on the series alone, so that the results of a series are read in their
        order. Series of people are published under their pseudonyms.
        """
        emitted = self._privacy.emitted(plan, emitted)
        values, alerts = self._names.values, self._names.alerts
        records = _values(plan, emitted, await self._partitions(values))
        transitions = _transitions(plan, emitted, await self._partitions(alerts))
        sends = await self._send_many(values, records)
        return sends + await self._send_many(alerts, transitions)

    async def corrections(
        self, plan: Plan, corrections: Iterable[Correction], corrected_ms: int
    ) -> list[Send]:
        """Corrections to the values topic, under the keys of what they correct. Their dimensions
        are those under which series are published."""
        topic = self._names.values
        partitions = await self._partitions(topic)
        return await self._send_many(
            topic, _corrections(plan, corrections, corrected_ms, partitions)
        )

    async def board(self, rows: Mapping[bytes, bytes | None]) -> list[Send]:
        """Rows of the board topic; None deletes a row."""
        topic = self._names.board
        partitions = await self._partitions(topic)
        partition_of = DefaultPartitioner()  # as a producer partitions by itself
        records = (
            (partition_of(key, partitions, partitions), key, row) for key, row in rows.items()
        )
        return await self._send_many(topic, records)

    async def _partitions(self, topic: str) -> list[int]:
        return sorted(await self._producer.partitions_for(topic))

    async def _send_many(self, topic: str, records: Iterable[OutgoingRecord]) -> list[Send]:
        """Send records in their order, one future for each batch of a partition.

        A single `send` costs 25 µs and a future of its own; a batch that is filled here costs 3 µs
        a record (docs/decisions/0015-what-an-event-costs.md).
        """
        sends: list[Send] = []
        filling: dict[int, Any] = {}
        for partition, key, value in records:
            await self._yield_now_and_then()
            batch = filling.get(partition)
            if batch is None or batch.append(timestamp=None, key=key, value=value) is None:
                if batch is not None:
                    sends.append(await self._send_batch(topic, partition, batch))
                batch = filling[partition] = self._producer.create_batch()
                # The first record of a batch may be larger than the batch should be.
                batch.append(timestamp=None, key=key, value=value)
        for partition, batch in filling.items():
            sends.append(await self._send_batch(topic, partition, batch))
        return sends

    async def _send_batch(self, topic: str, partition: int, batch: Any) -> Send:
        batch.close()
        answer = await self._producer.send_batch(batch, topic, partition=partition)
        return Send(topic, partition, answer)

    async def _yield_now_and_then(self) -> None:
        self._since_yield += 1
        if self._since_yield >= YIELD_EVERY:
            self._since_yield = 0
            await asyncio.sleep(0)


def series_partition(kpi: str, dimensions: Dimensions, partitions: Sequence[int]) -> int:
    """The partition, of those of a topic in their order, that has the results of a series."""
    return partitions[zlib.crc32(row_key(kpi, dimensions)) % len(partitions)]


def _values(plan: Plan, emitted: Emitted, partitions: Sequence[int]) -> Iterator[OutgoingRecord]:
    """The records of the values topic: closed windows, then target states."""
    for window in emitted.windows:
        if (kpi := plan.kpis.get(window.kpi)) is not None:
            body = encode.dumps(encode.window_json(kpi, window))
            partition = series_partition(kpi.name, window.dimensions, partitions)
            yield partition, encode.window_key(kpi, window), body
    for status in emitted.targets:
        window = status.window
        if (kpi := plan.kpis.get(window.kpi)) is not None:
            body = encode.dumps(encode.target_json(kpi, status))
            partition = series_partition(kpi.name, window.dimensions, partitions)
            yield partition, target_key(encode.window_key(kpi, window)), body


def _corrections(
    plan: Plan, corrections: Iterable[Correction], corrected_ms: int, partitions: Sequence[int]
) -> Iterator[OutgoingRecord]:
    """The records of the values topic that correct others."""
    for correction in corrections:
        window, before, status = correction.window, correction.before, correction.status
        kpi = plan.kpis[window.kpi]
        partition = series_partition(kpi.name, window.dimensions, partitions)
        key = encode.window_key(kpi, window)
        body = encode.correction_json(encode.window_json(kpi, window), before, corrected_ms)
        yield partition, key, encode.dumps(body)
        if status is not None:
            body = encode.correction_json(encode.target_json(kpi, status), before, corrected_ms)
            yield partition, target_key(key), encode.dumps(body)


def _transitions(
    plan: Plan, emitted: Emitted, partitions: Sequence[int]
) -> Iterator[OutgoingRecord]:
    """The records of the alerts topic."""
    processed_ms = clock.now_ms()
    for transition in emitted.transitions:
        rule = plan.rules.get(transition.rule)
        body = encode.dumps(encode.transition_json(plan, rule, transition, processed_ms))
        partition = series_partition(transition.kpi, transition.dimensions, partitions)
        yield partition, encode.transition_key(plan, transition), body


def target_key(window_key: bytes) -> bytes:
    """The key of a target state: that of its window, with its kind."""
    return b'{"kind":"target",' + window_key.removeprefix(b"{")


async def acknowledged(sends: Sequence[Send]) -> None:
    """Wait until the broker has answered all sends. Raises EnvironmentFault for the first that it
    did not acknowledge."""
    if not sends:
        return
    # Unlike gather, this leaves the sends alone when this task is cancelled.
    await asyncio.wait([send.answer for send in sends])
    for send in sends:
        if (error := send.answer.exception()) is not None:
            raise EnvironmentFault(
                f"topic {send.topic} partition {send.partition} was not written: "
                f"{reason_of(error)}",
                TOO_LARGE_HINT if isinstance(error, MessageSizeTooLargeError) else None,
            ) from error
