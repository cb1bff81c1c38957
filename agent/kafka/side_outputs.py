"""Sends dead letters and late records, which no KPI counts, to topics of their own.

A record is sent whole if the broker accepts it. One that is too large, with the headers about its
origin, is truncated, and headers have its length and checksum. No failure of one stops the flow.

The producer is not idempotent: a batch that the broker refuses for its size would leave a gap in
the sequence numbers of an idempotent one, for which all later batches would be refused. Repeats do
no harm: the headers identify the record.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from agent.core.output.privacy import masked
from agent.kafka.fetched import Record
from agent.kafka.topics import TopicNames

_partition_of = DefaultPartitioner()  # as a producer partitions by itself

log = logging.getLogger(__name__)

Headers = list[tuple[str, bytes]]

CUT_TO_BYTES = (900_000, 60_000, 500)
"""The sizes that a record which is too large is truncated to, one after the other: below Kafka's
default limit of 1,048,588 bytes, below a small one, and little more than the headers."""
YIELD_EVERY = 500  # sends between two chances for other tasks, heartbeats among them
HEADERS_SHARE = 4  # a producer's own headers may take a quarter of the size


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that was sent to a side output. `acknowledged` None: the producer refused it."""

    topic: str
    record: Record
    headers: Headers
    acknowledged: asyncio.Future[Any] | None


class SideOutputs:
    """Sends dead letters and late records. `on_cut` is called with the topic of a truncated one.
    `names_people`: whether the headers of a source topic's records must not quote values, which are
    copied further than the records."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        names: TopicNames,
        on_cut: Callable[[str], None],
        names_people: Callable[[str], bool] = lambda topic: False,
    ) -> None:
        self._producer = producer
        self._names = names
        self._on_cut = on_cut
        self._names_people = cache(names_people)
        self._since_yield = 0

    async def dead_letter(
        self, record: Record, reason: str, detail: str, contract: str | None
    ) -> Sent:
        """Send a rejected record, with its original bytes."""
        if self._names_people(record.topic):
            detail = masked(detail)
        headers = origin_headers(record, reason, detail, contract)
        return await self._send(self._names.dead_letters, record, headers)

    async def late(self, record: Record, contract: str) -> Sent:
        """Send a late record, with its original bytes."""
        detail = "its slice of event time was sealed when it came"
        headers = origin_headers(record, "late", detail, contract)
        return await self._send(self._names.late, record, headers)

    async def settle(self, sends: Sequence[Sent]) -> None:
        """Wait until all are acknowledged; send those that are too large truncated.

        Raises the first other failure, once all are settled.
        """
        waiting = [sent.acknowledged for sent in sends if sent.acknowledged is not None]
        if waiting:
            await asyncio.wait(waiting)  # unlike gather, leaves the sends alone when cancelled
        failures = []
        for sent in sends:
            error = sent.acknowledged.exception() if sent.acknowledged is not None else None
            if sent.acknowledged is None or isinstance(error, MessageSizeTooLargeError):
                await self._send_cut(sent)
            elif error is not None:
                failures.append(error)
        if failures:
            raise failures[0]

    async def _send(self, topic: str, record: Record, headers: Headers) -> Sent:
        self._since_yield += 1
        if self._since_yield >= YIELD_EVERY:
            self._since_yield = 0
            await asyncio.sleep(0)
        try:
            acknowledged = await self._producer.send(
                topic, value=record.value, key=record.key, headers=headers
            )
        except MessageSizeTooLargeError:
            acknowledged = None
        return Sent(topic, record, headers, acknowledged)

    async def _send_cut(self, sent: Sent) -> None:
        """Send a record again in a batch of its own: truncated, or whole if it is small, because
        then only its batch was too large."""
        origin = f"topic {sent.record.topic} partition {sent.record.partition} offset "
        origin += str(sent.record.offset)
        attempts: list[tuple[bytes | None, bytes | None, Headers]] = []
        if _size(sent.record.key, sent.record.value, sent.headers) <= CUT_TO_BYTES[0]:
            attempts.append((sent.record.key, sent.record.value, sent.headers))
        attempts += [cut(sent.record, sent.headers, size) for size in CUT_TO_BYTES]
        for key, value, headers in attempts:
            try:
                await self._send_alone(sent.topic, key, value, headers)
            except MessageSizeTooLargeError:
                continue
            if headers is not sent.headers:
                self._on_cut(sent.topic)
                log.warning(
                    "%s has %d bytes, too large for topic %s: truncated to %d, as its headers "
                    "say (the limit is the topic's max.message.bytes)",
                    origin, len(sent.record.value or b""), sent.topic, len(value or b""),
                )  # fmt: skip
            return
        self._on_cut(sent.topic)
        log.error(
            "%s can't be sent to topic %s, not even truncated: max.message.bytes is below %d",
            origin, sent.topic, CUT_TO_BYTES[-1],
        )  # fmt: skip

    async def _send_alone(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        batch = self._producer.create_batch()
        if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
            raise MessageSizeTooLargeError
        batch.close()
        partitions = sorted(await self._producer.partitions_for(topic))
        partition = _partition_of(key, partitions, partitions)
        await (await self._producer.send_batch(batch, topic, partition=partition))


def origin_headers(record: Record, reason: str, detail: str, contract: str | None) -> Headers:
    """The record's own headers, then those about its origin and the reason."""
    ours = {
        "kpi-agent-topic": record.topic,
        "kpi-agent-partition": str(record.partition),
        "kpi-agent-offset": str(record.offset),
        "kpi-agent-timestamp": str(record.timestamp),
        "kpi-agent-reason": reason,
        "kpi-agent-detail": detail,
        "kpi-agent-contract": contract or "",
    }
    theirs = [(k, v) for k, v in record.headers if k not in ours]
    return theirs + [(name, value.encode("utf-8", "replace")) for name, value in ours.items()]


def cut(record: Record, headers: Headers, size: int) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of a record, truncated to about `size` bytes.

    Headers are added with the length and the SHA-256 of the whole value, and the length of a key
    that is left out. The producer's own headers are left out if they are large.
    """
    value, key = record.value or b"", record.key
    ours = [header for header in headers if header[0].startswith("kpi-agent-")]
    theirs = [header for header in headers if not header[0].startswith("kpi-agent-")]
    if _size(None, None, theirs) > size // HEADERS_SHARE:
        ours.append(("kpi-agent-original-headers", str(len(theirs)).encode()))
        theirs = []
    if key is not None and len(key) > size // HEADERS_SHARE:
        ours.append(("kpi-agent-original-key-length", str(len(key)).encode()))
        key = None
    ours += [
        ("kpi-agent-original-length", str(len(value)).encode()),
        ("kpi-agent-original-sha256", hashlib.sha256(value).hexdigest().encode()),
    ]
    room = max(0, size - _size(key, None, theirs + ours))
    return key, value[:room], theirs + ours


def _size(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """The approximate size of a record in bytes."""
    of_headers = sum(len(name.encode()) + len(content) + 10 for name, content in headers)
    return len(key or b"") + len(value or b"") + of_headers
