"""The closed windows of one KPI's past, read from the values topic when somebody asks.

Nothing is kept in memory for it: the topic has what its retention leaves (30 days where the agent
creates it). A reading takes the newest MOST_RECORDS records at most, so that a question costs a
second or so however much the topic holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import datetime

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions, Kpi, Target
from agent.core.model.results import PastWindow, PastWindows
from agent.core.state.rows import row_key
from agent.kafka.client import connection
from agent.kafka.topic_reader import POLL_MS
from agent.settings import Settings

MOST_RECORDS = 200_000
"""Records that one reading looks at, those of other KPIs among them."""
MAX_POLL_RECORDS = 2_000


class _Message(msgspec.Struct):
    """What is read of a message of the values topic (docs/operations.md, kpi-values)."""

    kind: str
    kpi: str
    dimensions: dict[str, Scalar]
    start: datetime
    end: datetime
    value: float | int | None
    events: int
    maintenance: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    warn_at_least: float | None = None
    warn_at_most: float | None = None


_messages = msgspec.json.Decoder(_Message)


async def past_windows(
    settings: Settings, topic: str, kpi: Kpi, dimensions: Dimensions | None, since_ms: int
) -> PastWindows:
    """The windows of a KPI, or of one of its series, that ended since an instant (event time, ms).

    A window is published after its end, so nothing older than `since_ms` by the records' timestamps
    is looked at. Where a broker does not answer there are none, and `is_complete` is false.
    """
    # Without a group, a consumer is assigned all partitions.
    consumer = AIOKafkaConsumer(
        topic, **connection(settings), group_id=None, enable_auto_commit=False,
        isolation_level="read_committed",
    )  # fmt: skip
    reader = _Reader(kpi, dimensions, since_ms)
    try:
        await consumer.start()
        try:
            is_complete = await _read(consumer, kpi, dimensions, since_ms, reader)
        finally:
            await consumer.stop()
    except KafkaError:
        return PastWindows((), False)
    return PastWindows(reader.windows(), is_complete)


async def _read(
    consumer: AIOKafkaConsumer,
    kpi: Kpi,
    dimensions: Dimensions | None,
    since_ms: int,
    reader: _Reader,
) -> bool:
    """Read what there is; whether that is all since the instant."""
    tps: list[TopicPartition] = sorted(consumer.assignment())
    if not tps:
        return False
    if dimensions is not None:  # as `publish` places it
        tps = [tps[zlib.crc32(row_key(kpi.name, dimensions)) % len(tps)]]
        consumer.unsubscribe()
        consumer.assign(tps)
    ends = await consumer.end_offsets(tps)
    firsts = await consumer.beginning_offsets(tps)
    since = await consumer.offsets_for_times(dict.fromkeys(tps, max(since_ms, 0)))
    is_complete = True
    for tp in tps:
        at = since.get(tp)
        # A partition with nothing as new as that, or a broker that can't search by time: the whole.
        begin = max(firsts[tp], at.offset) if at is not None else firsts[tp]
        newest = ends[tp] - MOST_RECORDS // len(tps)
        is_complete &= newest <= begin and (firsts[tp] == 0 or begin > firsts[tp])
        consumer.seek(tp, max(begin, newest, firsts[tp]))
    reading = {tp for tp in tps if firsts[tp] < ends[tp]}
    while reading:
        fetched = await consumer.getmany(*reading, timeout_ms=POLL_MS, max_records=MAX_POLL_RECORDS)
        for records in fetched.values():
            for record in records:
                reader.add(record.key, record.value)
        # The position also passes what holds no record: markers of transactions, and gaps.
        reading = {tp for tp in reading if await consumer.position(tp) < ends[tp]}
    return is_complete


class _Reader:
    """Picks the windows that are asked for out of the records. The last message of a window is the
    one that counts: after a restart, some are published again."""

    def __init__(self, kpi: Kpi, dimensions: Dimensions | None, since_ms: int) -> None:
        self._kpi = kpi
        self._dimensions = dimensions
        self._since_ms = since_ms
        name = msgspec.json.encode(kpi.name)
        self._begins = (b'{"kpi":' + name + b",", b'{"kind":"target","kpi":' + name + b",")
        self._windows: dict[tuple[Dimensions, int], _Message] = {}
        self._targets: dict[tuple[Dimensions, int], _Message] = {}

    def add(self, key: bytes | None, value: bytes | None) -> None:
        """Look at one record. Most are of other KPIs, which their keys say."""
        if key is None or value is None or not key.startswith(self._begins):
            return
        try:
            message = _messages.decode(value)
        except msgspec.DecodeError:
            return  # written by another version
        dimensions = self._series(message.dimensions)
        end_ms = _ms(message.end)
        if dimensions is None or end_ms <= self._since_ms:
            return
        if self._dimensions is not None and dimensions != self._dimensions:
            return
        of = self._targets if message.kind == "target" else self._windows
        of[dimensions, end_ms] = message

    def windows(self) -> tuple[PastWindow, ...]:
        """What was picked, by series and time."""
        return tuple(
            PastWindow(
                dimensions, end_ms, message.value, message.events, message.maintenance,
                _target(self._targets.get((dimensions, end_ms))),
            )
            for (dimensions, end_ms), message in sorted(
                self._windows.items(), key=lambda item: item[0][1]
            )
        )  # fmt: skip

    def _series(self, dimensions: Mapping[str, Scalar]) -> Dimensions | None:
        """The dimensions in the KPI's order; None: they are of an older declaration."""
        if tuple(dimensions) != self._kpi.by:
            return None
        return tuple(dimensions.values())


def _target(message: _Message | None) -> Target | None:
    if message is None:
        return None
    return Target(message.at_least, message.at_most, message.warn_at_least, message.warn_at_most)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
