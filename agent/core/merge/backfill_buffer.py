"""Buffers the live partials of KPIs until their backfill is finished, and decides the handoff.

A KPI with `backfill` that has no state yet is not evaluated at once. Its live partials are buffered
here, for one state partition, until `agent.core.backfill` has folded the events before them.

States
------
| state | marker row | frames |
|---|---|---|
| waiting | none | partials are buffered |
| done | `done` | partials go to the KPI; the handoff is known |
| partly written | not `done` | after a restart: the rows are deleted, and the KPI waits again |

Events
------
- `note`: the last frame of a flush. It names the KPIs that the source's owner folds; in slices
  after `since_ms`, all events are in its frames (`agent.core.frame.Frame`). The first frame that
  names the KPI counts for its source. A frame without the KPI, from a worker with older rules,
  resets its source.
- `update`: partials. They are cumulative, so one replaces the last from the same source.
- `note_frontier`: how far the live flow is settled.
- `adopt`: the finished backfill, as rows.
- `had_state`: after a restart, if the KPI has state from before it had a backfill. It needs none.

Rules
-----
1. The *handoff* is the first slice start after the latest `since_ms` of all sources: live partials
   count for slices from there on, the backfill for earlier slices. It is known once each source of
   the contract has sent a frame with the KPI.
2. If no source has a `since_ms`, the live flow contains all events: the KPI is done at once,
   without a backfill.
3. A backfill can be read once the live flow is settled beyond the handoff: all records that it
   needs are in the logs by then.
4. A backfill is adopted only if its handoff is not before the current one, and if it was read from
   all sources known now.

Commit
------
A crash may leave only the first rows of a backfill written. So a marker that is not `done` is
written before them, and one that is `done` after them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent.core.aggregate.aggregator import Aggregator
from agent.core.frame import Block, Frame, dimensions_of_key
from agent.core.merge.missed_records import MissedByTopic, MissedRecords
from agent.core.merge.slice_partials import SlicePartials
from agent.core.merge.watermark import ContractSources, Source, Sources
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.state.rows import Row, decoded, kpi_of, versioned

BEGINNING_MS = -(2**62)
"""From the first event on: no event is older."""


@dataclass(frozen=True, slots=True)
class PendingBackfill:
    """A backfill that can be read: the records before the offsets `covered`, by source partition,
    determine the state of the KPI before `handoff_ms`.

    `topic_ids`: the ids of the topics' logs, by topic ("": the broker has none). `missed`: what
    earlier logs of the topics had.
    """

    kpi: str
    handoff_ms: int
    covered: dict[Source, int]
    topic_ids: Mapping[str, str]
    missed: Sequence[MissedRecords]


class BackfillMarker(msgspec.Struct, array_like=True, frozen=True):
    """The row that marks the state of a KPI's backfill. `done` False: its rows are being written.
    `begun_ms`: how far the live flow was settled when the buffered partials went to the KPI."""

    fingerprint: str
    handoff_ms: int
    done: bool
    begun_ms: int = BEGINNING_MS


class BackfillBuffer:
    """The live partials of one KPI in one state partition, until its backfill is finished."""

    def __init__(self, kpi: Kpi) -> None:
        self.kpi = kpi
        self.frontier_ms: int | None = None
        self.first_position: int | None = None
        self._since: dict[Source, int] = {}
        self._aggregator = Aggregator(kpi)
        self._slices: dict[tuple[int, int | None], SlicePartials] = {}

    def note(self, frame: Frame) -> None:
        """Note from where on a source's frames contain all events; from the last frame of a
        flush."""
        source = frame.topic, frame.partition
        if frame.filled.get(self.kpi.name) != self.kpi.fingerprint:
            self._since.pop(source, None)
        elif source not in self._since:
            self._since[source] = BEGINNING_MS if frame.since_ms is None else frame.since_ms

    def update(self, block: Block, source: int, position: int) -> None:
        """Buffer a frame's cumulative partials: they replace the last from the same source."""
        key = block.start_ms, block.pane_ms
        if key not in self._slices:
            self._slices[key] = SlicePartials(self._aggregator, dimensions_of_key)
        self._slices[key].update(block, source)
        if self.first_position is None:
            self.first_position = position

    def handoff_ms(self, sources: ContractSources) -> int | None:
        """The first slice start from which on the buffer has all events. None: a source is not
        known yet; `BEGINNING_MS`: it has all there are."""
        all_since = [self._since.get(source) for source, _ in sources.sources()]
        known = [since for since in all_since if since is not None]
        if not sources.is_complete or len(known) < len(all_since):
            return None
        since = max(known, default=BEGINNING_MS)
        span = self.kpi.slice_ms
        return since if since == BEGINNING_MS else since - since % span + span

    def blocks(self, from_ms: int) -> Iterator[tuple[int, Block]]:
        """The partials of slices that start at or after an instant, with their sources."""
        for (start, pane), of_slice in self._slices.items():
            if start >= from_ms:
                name, fingerprint = self.kpi.name, self.kpi.fingerprint
                yield from of_slice.blocks(name, fingerprint, start, pane)


class BackfillBuffers:
    """The KPIs of one state partition that wait for their backfill, and the markers of those that
    are done.

    For KPIs that are done, `handoffs` has the handoff, and `begun` how far the live flow was
    settled when the buffered partials went to the KPI.
    """

    def __init__(self, plan: Plan, sources: Sources, missed: MissedByTopic) -> None:
        self._plan = plan
        self._sources = sources
        self._missed = missed
        self._buffers = {
            name: BackfillBuffer(kpi)
            for name, kpi in plan.kpis.items()
            if kpi.backfill_ms is not None
        }
        self.handoffs: dict[str, int] = {}
        self.begun: dict[str, int] = {}
        self._rows: list[Row] = []

    def drain_rows(self) -> list[Row]:
        """The rows of finished backfills and their markers, to be written before all others."""
        rows, self._rows = self._rows, []
        return rows

    @property
    def names(self) -> frozenset[str]:
        """The KPIs that wait for their backfill."""
        return frozenset(self._buffers)

    @property
    def first_position(self) -> int | None:
        """The position of the first frame with buffered partials."""
        known = [w.first_position for w in self._buffers.values() if w.first_position is not None]
        return min(known, default=None)

    def restore(self, markers: Iterable[Row]) -> tuple[set[str], list[bytes]]:
        """Restore from the markers which KPIs are done.

        Returns the KPIs whose backfill was only partly written, and the keys of markers of another
        rule set.
        """
        half, unknown = set(), []
        for key, data in markers:
            name = kpi_of(key)
            marker = decoded(_markers, key, data, "the marker of its backfill")
            kpi = self._plan.kpis.get(name)
            if kpi is None or kpi.fingerprint != marker.fingerprint:
                unknown.append(key)
            elif marker.done:
                self._buffers.pop(name, None)
                self.handoffs[name] = marker.handoff_ms
                self.begun[name] = marker.begun_ms
            else:
                half.add(name)
        return half, unknown

    def had_state(self, kpi: str) -> None:
        """Note that a KPI has state from before it had a backfill, so that it needs none."""
        if kpi in self._buffers:
            self._done(kpi, BEGINNING_MS, ())

    def buffer(self, block: Block, source: int, position: int) -> bool:
        """Buffer a frame's partials if their KPI waits for its backfill; returns whether it
        does."""
        buffer = self._buffers.get(block.kpi)
        if buffer is not None:
            buffer.update(block, source, position)
        return buffer is not None

    def note_frontier(self, kpi: str, frontier_ms: int) -> bool:
        """Note how far the live flow is settled if the KPI waits; returns whether it does."""
        buffer = self._buffers.get(kpi)
        if buffer is not None:
            buffer.frontier_ms = frontier_ms
        return buffer is not None

    def note(self, frame: Frame) -> list[BackfillBuffer]:
        """Note the last frame of a flush. Returns the buffers of KPIs that need no backfill,
        because the live flow has all events; they no longer wait."""
        complete = []
        for name, buffer in list(self._buffers.items()):
            if frame.topic in self._sources_of(buffer).contract.topics:
                buffer.note(frame)
                if self._handoff_ms(buffer) == BEGINNING_MS:
                    complete.append(self._done(name, BEGINNING_MS, ()))
        return complete

    def pending(self) -> list[PendingBackfill]:
        """The backfills that can be read (rule 3)."""
        pending = []
        for name, buffer in self._buffers.items():
            handoff, frontier = self._handoff_ms(buffer), buffer.frontier_ms
            if handoff is not None and frontier is not None and frontier >= handoff:
                of_contract = self._sources_of(buffer)
                covered = {source: status.covered for source, status in of_contract.sources()}
                ids = {topic: self._sources.of_topic(topic).topic_id for topic, _ in covered}
                missed = self._missed.of_contract(of_contract.contract.name).earlier_logs()
                pending.append(PendingBackfill(name, handoff, covered, ids, missed))
        return pending

    def adopt(
        self,
        kpi: str,
        handoff_ms: int,
        sources: Collection[Source],
        rows: Sequence[Row],
    ) -> BackfillBuffer | None:
        """Adopt the finished backfill of a KPI, as rows, read from these sources. Returns the live
        partials that continue from there.

        None, and nothing has changed: the KPI does not wait, or live partials are missing.
        """
        buffer = self._buffers.get(kpi)
        handoff = self._handoff_ms(buffer) if buffer is not None else None
        if buffer is None or handoff is None or handoff > handoff_ms:
            return None
        if not {source for source, _ in self._sources_of(buffer).sources()} <= set(sources):
            return None
        self._rows.append(_marker_row(buffer.kpi, handoff_ms, is_done=False))
        return self._done(kpi, handoff_ms, rows)

    def _done(self, kpi: str, handoff_ms: int, rows: Sequence[Row]) -> BackfillBuffer:
        buffer = self._buffers.pop(kpi)
        begun_ms = BEGINNING_MS if buffer.frontier_ms is None else buffer.frontier_ms
        self._rows += [*rows, _marker_row(buffer.kpi, handoff_ms, begun_ms, is_done=True)]
        self.handoffs[kpi], self.begun[kpi] = handoff_ms, begun_ms
        return buffer

    def _handoff_ms(self, buffer: BackfillBuffer) -> int | None:
        return buffer.handoff_ms(self._sources_of(buffer))

    def _sources_of(self, buffer: BackfillBuffer) -> ContractSources:
        return self._sources.of_contract(buffer.kpi.contract or "")


_encoder = msgspec.msgpack.Encoder()
_markers = msgspec.msgpack.Decoder(BackfillMarker)


def marker_key(kpi: str) -> bytes:
    """The table key of a KPI's marker."""
    return _encoder.encode([kpi])


def _marker_row(kpi: Kpi, handoff_ms: int, begun_ms: int = BEGINNING_MS, *, is_done: bool) -> Row:
    marker = BackfillMarker(kpi.fingerprint, handoff_ms, is_done, begun_ms)
    return marker_key(kpi.name), versioned(_encoder.encode(marker))
