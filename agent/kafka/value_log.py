"""Reads the closed windows of KPIs back from the values topic, on request.

Nothing is cached. The topic goes back as far as its retention (30 days where the agent creates it).
A request reads the newest MOST_RECORDS records at most, so that it takes about a second however
large the topic is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.results import PastWindow, PastWindows
from agent.core.output.value_messages import PublishedWindows, read_value
from agent.kafka.client import kafka_faults, new_reader, running
from agent.kafka.publish import series_partition
from agent.kafka.topic_reader import fetch_to
from agent.settings import Settings

MOST_RECORDS = 200_000
"""Per request, those of other KPIs included."""
MAX_POLL_RECORDS = 2_000


async def past_windows(
    settings: Settings, topic: str, kpi: Kpi, dimensions: Dimensions | None, since_ms: int
) -> PastWindows:
    """The windows of a KPI, or of one of its series, that ended since an instant (event time, ms).

    A window is published after its end, so nothing older than `since_ms` by the records' timestamps
    is looked at. Where a broker does not answer there are none, and `is_complete` is false.
    """
    reader = _Reader([kpi], since_ms)
    try:
        async with running(new_reader(settings, topic)) as consumer:
            tps: list[TopicPartition] = sorted(consumer.assignment())
            if dimensions is not None and tps:
                partition = series_partition(kpi.name, dimensions, [tp.partition for tp in tps])
                tps = [TopicPartition(topic, partition)]
                consumer.unsubscribe()
                consumer.assign(tps)
            is_complete = await _read(consumer, tps, since_ms, reader, MOST_RECORDS)
    except KafkaError:
        return PastWindows((), False)
    return PastWindows(_past(kpi, dimensions, reader.windows), is_complete)


async def published_windows(
    settings: Settings, topic: str, kpis: Iterable[Kpi], since_ms: int
) -> PublishedWindows:
    """All windows of some KPIs that were published since an instant (ms). Raises EnvironmentFault
    where the topic can't be read."""
    reader = _Reader(kpis)
    with kafka_faults(f"{topic} can't be read from {settings.brokers}"):
        async with running(new_reader(settings, topic)) as consumer:
            await _read(consumer, sorted(consumer.assignment()), since_ms, reader, None)
    return reader.windows


async def _read(
    consumer: AIOKafkaConsumer,
    tps: Sequence[TopicPartition],
    since_ms: int,
    reader: _Reader,
    most: int | None,
) -> bool:
    """Read what was published since an instant, at most `most` records; whether that is all."""
    if not tps:
        return False
    ends = await consumer.end_offsets(tps)
    firsts = await consumer.beginning_offsets(tps)
    since = await consumer.offsets_for_times(dict.fromkeys(tps, max(since_ms, 0)))
    is_complete = True
    for tp in tps:
        at = since.get(tp)
        # Without a record as new as that, or a broker that can search by time: from the start.
        begin = max(firsts[tp], at.offset) if at is not None else firsts[tp]
        newest = 0 if most is None else ends[tp] - most // len(tps)
        is_complete &= newest <= begin and (firsts[tp] == 0 or begin > firsts[tp])
        consumer.seek(tp, max(begin, newest, firsts[tp]))
    not_empty = {tp: ends[tp] for tp in tps if firsts[tp] < ends[tp]}
    async for fetched in fetch_to(consumer, not_empty, MAX_POLL_RECORDS):
        for records in fetched.values():
            for record in records:
                reader.add(record.key, record.value)
    return is_complete


class _Reader:
    """Keeps the windows of some KPIs that end after an instant (ms) and have the dimensions that
    the KPI has now."""

    def __init__(self, kpis: Iterable[Kpi], after_ms: float = -math.inf) -> None:
        self.windows = PublishedWindows()
        self._after_ms = after_ms
        self._dimensions = {kpi.name: kpi.by for kpi in kpis}
        names = [msgspec.json.encode(kpi) for kpi in self._dimensions]
        kinds = (b"{", b'{"kind":"target",')
        self._begins = tuple(kind + b'"kpi":' + name + b"," for kind in kinds for name in names)

    def add(self, key: bytes | None, value: bytes | None) -> None:
        """Add one record. Most are of other KPIs: their keys say so, and they are not decoded."""
        if key is None or value is None or not key.startswith(self._begins):
            return
        try:
            message = read_value(value)
        except ValueError:
            return  # written by another version
        window = message.window
        if window.end_ms > self._after_ms and message.names == self._dimensions[window.kpi]:
            self.windows.add(message)


def _past(
    kpi: Kpi, dimensions: Dimensions | None, published: PublishedWindows
) -> tuple[PastWindow, ...]:
    """The windows of a KPI, or of one of its series, by time."""
    windows = []
    for key, window in published.windows(kpi.name).items():
        if dimensions not in (None, window.dimensions):
            continue
        status = published.status(key)
        target = None if status is None else status.target
        windows.append(
            PastWindow(
                window.dimensions, window.end_ms, window.value, window.events, window.maintenance,
                target, window.hidden, published.corrected(key),
            )
        )  # fmt: skip
    return tuple(sorted(windows, key=lambda window: window.end_ms))
