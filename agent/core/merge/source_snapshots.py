"""What the sources of a state partition had said at a frame from which a restart may read.

Whether a partial comes before or after its slice is sealed follows from all frames before it. A
restart reads some of them only, so a row holds what the others said. It belongs to one position of
the frames log, and is written after the rows of series, so that these hold all that comes before
the position; a restart passes over what is read again of that.

Snapshots are taken at some positions only; a restart reads from the last one before what it needs.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agent.core.merge.watermark import Sources, SourceStatus
from agent.core.state.rows import SOURCES_KEY, DamagedRow, Row, body_of, versioned

EVERY_MESSAGES = 4
"""A snapshot is taken once in so many messages, each of which has the frames of a flush."""
MOST_KEPT = 16
"""Of more snapshots every second one is dropped: where a source holds back event time for hours."""


class _Topic(msgspec.Struct, array_like=True, frozen=True):
    partitions: int
    topic_id: str
    siblings: dict[str, int]
    statuses: dict[int, SourceStatus]
    flushing: list[int]


class _Contract(msgspec.Struct, array_like=True, frozen=True):
    """`frontier_ms`: of its KPIs; the lateness may be another one after a restart."""

    watermark_ms: int
    frontier_ms: int


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """What the sources said before the frames of the message at a position."""

    position: int
    topics: dict[str, _Topic]
    contracts: dict[str, _Contract]


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Snapshot)


class SourceSnapshots:
    """The snapshots of one state partition's sources."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._snapshots: list[Snapshot] = []
        self._written: int | None = None  # the position of the one that is in the row

    def note(self, position: int, last: int) -> None:
        """Note that the message at a position is applied next; `last`: the one applied last, -1 at
        first."""
        if last < 0 or position // EVERY_MESSAGES != last // EVERY_MESSAGES:
            if self._snapshots and self._snapshots[-1].position >= position:
                return  # restored
            if len(self._snapshots) >= MOST_KEPT:
                del self._snapshots[1::2]
            self._snapshots.append(self._snapshot(position))

    def _snapshot(self, position: int) -> Snapshot:
        topics = {
            name: _Topic(
                of.partitions, of.topic_id, of.siblings, dict(of.statuses), sorted(of.flushing)
            )
            for name, of in self._sources.topics.items()
        }
        contracts = {
            name: _Contract(of.reached_ms, of.reached_ms - of.contract.lateness_ms)
            for name, of in self._sources.contracts.items()
            if of.reached_ms is not None
        }
        return Snapshot(position, topics, contracts)

    def is_before(self, position: int) -> bool:
        """Whether a message is one of those that the rows hold."""
        return bool(self._snapshots) and position < self._snapshots[0].position

    def before(self, position: int) -> int:
        """The last position up to this one from which a restart may read."""
        usable = [s.position for s in self._snapshots if s.position <= position]
        if usable:
            del self._snapshots[: len(usable) - 1]
        return max(usable, default=position)

    def rows(self) -> Iterable[Row]:
        """The row, for a restart from the position that `before` gave, if it is another one than it
        was at the last call."""
        first = self._snapshots[0] if self._snapshots else None
        if first is None or not first.topics or first.position == self._written:
            return ()
        self._written = first.position
        return [(SOURCES_KEY, versioned(_encoder.encode(first)))]

    def restore(self, row: bytes) -> dict[str, int]:
        """Continue from the row; by contract, the frontier of its KPIs. Raises UnknownVersion and
        DamagedRow."""
        try:
            snapshot = _decoder.decode(body_of(SOURCES_KEY, row))
        except msgspec.DecodeError as error:
            raise DamagedRow(SOURCES_KEY, f"it can't be read ({error})") from error
        self._snapshots, self._written = [snapshot], snapshot.position
        for name, topic in snapshot.topics.items():
            known = self._sources.of_topic(name)
            known.partitions, known.topic_id = topic.partitions, topic.topic_id
            known.siblings, known.statuses = topic.siblings, dict(topic.statuses)
            known.flushing = set(topic.flushing)
        contracts = self._sources.contracts
        for name, of in contracts.items():
            reached = snapshot.contracts.get(name)
            of.restore(None if reached is None else reached.watermark_ms)
        return {n: c.frontier_ms for n, c in snapshot.contracts.items() if n in contracts}
