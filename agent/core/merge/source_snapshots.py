"""Snapshots of the sources' state at positions of the frames log from which a restart may read.

Whether a partial arrives before or after its slice is sealed depends on all frames before it. A
restart reads only the last of these frames, so one row of the table has the state of the sources at
the position where it starts. That row is written after the rows of the series, which contain
everything before the position; a restart skips earlier frames.

Snapshots are taken at some positions only. A restart reads from the last snapshot at or before the
first frame that it needs.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agent.core.merge.watermark import Sources, SourceStatus
from agent.core.state.rows import SOURCES_KEY, Row, decoded, versioned

EVERY_MESSAGES = 4
"""The number of messages between snapshots; a message has the frames of a flush."""
MOST_KEPT = 16
"""Beyond this number, every second snapshot is dropped: a source may hold back event time for
hours."""


class _Topic(msgspec.Struct, array_like=True, frozen=True):
    partitions: int
    topic_id: str
    siblings: dict[str, int]
    statuses: dict[int, SourceStatus]
    flushing: list[int]


class _Contract(msgspec.Struct, array_like=True, frozen=True):
    """`frontier_ms`: the frontier of its KPIs. It is stored because a reload may change the
    lateness. `before_ms`: the watermark when a topic was last created again."""

    watermark_ms: int
    frontier_ms: int
    before_ms: int | None = None


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """The state of the sources before the message at `position` is applied."""

    position: int
    topics: dict[str, _Topic]
    contracts: dict[str, _Contract]


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Snapshot)


class SourceSnapshots:
    """The snapshots of one state partition's sources."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._snapshots: list[Snapshot] = []
        self._written: int | None = None  # the position of the row in the table

    def note(self, position: int, last: int) -> None:
        """Take a snapshot if one is due before the message at a position is applied. `last`: the
        message applied before it; -1: none."""
        if last < 0 or position // EVERY_MESSAGES != last // EVERY_MESSAGES:
            if self._snapshots and self._snapshots[-1].position >= position:
                return  # restored
            if len(self._snapshots) >= MOST_KEPT:
                del self._snapshots[1::2]
            self._snapshots.append(self._snapshot(position))

    def _snapshot(self, position: int) -> Snapshot:
        topics = {
            name: _Topic(s.partitions, s.topic_id, s.siblings, dict(s.statuses), sorted(s.flushing))
            for name, s in self._sources.topics.items()
        }
        contracts = {
            name: _Contract(s.reached_ms, s.reached_ms - s.contract.lateness_ms, s.before_ms)
            for name, s in self._sources.contracts.items()
            if s.reached_ms is not None
        }
        return Snapshot(position, topics, contracts)

    def is_before(self, position: int) -> bool:
        """Whether the rows already contain a message."""
        return bool(self._snapshots) and position < self._snapshots[0].position

    def before(self, position: int) -> int:
        """The last position, not after this one, from which a restart may read."""
        usable = (s.position for s in self._snapshots if s.position <= position)
        return max(usable, default=position)

    def rows(self, position: int) -> Iterable[Row]:
        """The row for a restart that needs the log from this position on, if it differs from that
        of the last call. Drops older snapshots."""
        start = self.before(position)
        self._snapshots = [s for s in self._snapshots if s.position >= start]
        first = self._snapshots[0] if self._snapshots else None
        if first is None or not first.topics or first.position == self._written:
            return ()
        self._written = first.position
        return [(SOURCES_KEY, versioned(_encoder.encode(first)))]

    def restore(self, row: bytes) -> dict[str, int]:
        """Restore the sources from the row; returns the frontier of the KPIs by contract. Raises
        UnknownVersion and DamagedRow."""
        snapshot = decoded(_decoder, SOURCES_KEY, row, "it")
        self._snapshots, self._written = [snapshot], snapshot.position
        for name, topic in snapshot.topics.items():
            known = self._sources.of_topic(name)
            known.partitions, known.topic_id = topic.partitions, topic.topic_id
            known.siblings, known.statuses = topic.siblings, dict(topic.statuses)
            known.flushing = set(topic.flushing)
        contracts = self._sources.contracts
        for name, sources in contracts.items():
            reached = snapshot.contracts.get(name)
            if reached is None:
                sources.restore(None)
            else:
                sources.restore(reached.watermark_ms, reached.before_ms)
        return {n: c.frontier_ms for n, c in snapshot.contracts.items() if n in contracts}
