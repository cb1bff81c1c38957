"""KPIs whose backfill is not read yet: their live partials, and where the live flow takes over.

A KPI with `backfill` that has no state yet is not evaluated at once. Its live partials are buffered
here, for one state partition, until the events before them are folded (`agent.core.backfill`).

States
------
| state | marker | what happens with frames |
|---|---|---|
| waiting | none | partials are buffered |
| done | `done` | partials go to the KPI; the handoff is known |
| written in part | not `done` | after a restart: the rows are deleted, and the KPI waits |

Events
------
- `note`, the last frame of a flush. A frame names the KPIs that its source's owner folds, and up to
  which instant (`since_ms`) they may have events that it has not folded, or that only an earlier
  frame holds. The first frame that names the KPI decides for its source. One that does not name it,
  from a worker with older rules, makes its source begin again.
- `update`, partials. They are cumulative: one replaces the one known from the same source.
- `reached`, how far the live flow is settled.
- `adopt`, the past as rows.
- `had_state`, after a restart: the KPI was there before it had a backfill. That is past enough.

Rules
-----
1. The *handoff* is the first slice start after the latest `since_ms` of all sources: live partials
   count for slices from there on, the backfill for those before. It is known once all sources of
   the contract have been learned of.
2. Where no source has a `since_ms`, the live flow has all there ever was: the KPI is done at once,
   and needs no past.
3. A past is pending once the live flow is settled beyond the handoff: everything that decides it is
   in the logs by then.
4. A past is adopted only if its handoff is not before the one known now, and if it was read from
   all sources known now.

Commit
------
A crash may leave any first part of the rows of a past written. So the marker says first that they
are being written, and last that they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from agent.core.aggregate.aggregator import Aggregator
from agent.core.frame import Block, Frame, named
from agent.core.merge.slice_partials import SlicePartials
from agent.core.merge.watermark import ContractSources, Source, Sources
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.state.rows import DamagedRow, Row, body_of, kpi_of, versioned

BEGINNING_MS = -(2**62)
"""Stands for "from the first event on": no event is older."""


@dataclass(frozen=True, slots=True)
class PendingBackfill:
    """What a backfill must read: everything before the offsets `covered`, by source partition,
    decides what lies before `handoff_ms`."""

    kpi: str
    handoff_ms: int
    covered: dict[Source, int]


class BackfillMarker(msgspec.Struct, array_like=True, frozen=True):
    """A row that says what became of a KPI's backfill: `done` False: its rows are being written.
    `begun_ms`: how far the live flow was settled when the KPI began to take part."""

    fingerprint: str
    handoff_ms: int
    done: bool
    begun_ms: int = BEGINNING_MS


class BackfillBuffer:
    """The live partials of one KPI in one state partition, until its past is known."""

    def __init__(self, kpi: Kpi) -> None:
        self.kpi = kpi
        self.frontier_ms: int | None = None
        self.first_position: int | None = None
        self._since: dict[Source, int] = {}
        self._aggregator = Aggregator(kpi)
        self._slices: dict[tuple[int, int | None], SlicePartials] = {}

    def note(self, frame: Frame) -> None:
        """Note what the last frame of a flush says of its source."""
        source = frame.topic, frame.partition
        if frame.filled.get(self.kpi.name) != self.kpi.fingerprint:
            self._since.pop(source, None)
        elif source not in self._since:
            known = frame.since_ms
            self._since[source] = BEGINNING_MS if known is None else known

    def update(self, block: Block, source: int, position: int) -> None:
        """Keep a frame's cumulative partials: one replaces the one known from the same source."""
        key = block.start_ms, block.pane_ms
        if key not in self._slices:
            self._slices[key] = SlicePartials(self._aggregator, named)
        self._slices[key].update(block, source)
        if self.first_position is None:
            self.first_position = position

    def handoff_ms(self, sources: ContractSources) -> int | None:
        """The first slice start from which on everything is live; None while a source was not
        learned of. `BEGINNING_MS`: all of it is live."""
        known = [self._since.get(source) for source, _ in sources.sources()]
        learned = [since for since in known if since is not None]
        if not sources.is_complete or len(learned) < len(known):
            return None
        since = max(learned, default=BEGINNING_MS)
        span = self.kpi.slice_ms
        return since if since == BEGINNING_MS else since - since % span + span

    def blocks(self, from_ms: int) -> Iterator[tuple[int, Block]]:
        """The partials of slices that start at or after an instant, with their sources."""
        for (start, pane), of_slice in self._slices.items():
            if start >= from_ms:
                name, fingerprint = self.kpi.name, self.kpi.fingerprint
                yield from of_slice.blocks(name, fingerprint, start, pane)


class BackfillBuffers:
    """All KPIs of one state partition that wait, and the markers of those that have their past.

    `handoffs` has the handoff of every KPI that has its past, `begun` how far the live flow was
    settled when it began to take part.
    """

    def __init__(self, plan: Plan, sources: Sources) -> None:
        self._plan = plan
        self._sources = sources
        self._buffers = {
            name: BackfillBuffer(kpi)
            for name, kpi in plan.kpis.items()
            if kpi.backfill_ms is not None
        }
        self.handoffs: dict[str, int] = {}
        self.begun: dict[str, int] = {}
        self._rows: list[Row] = []

    def drain_rows(self) -> list[Row]:
        """The rows of pasts, and the markers, to be written before all others."""
        rows, self._rows = self._rows, []
        return rows

    @property
    def names(self) -> frozenset[str]:
        """The KPIs that wait."""
        return frozenset(self._buffers)

    @property
    def first_position(self) -> int | None:
        """The first frame that holds anything of theirs."""
        known = [w.first_position for w in self._buffers.values() if w.first_position is not None]
        return min(known, default=None)

    def restore(self, markers: Iterable[Row]) -> tuple[set[str], list[bytes]]:
        """Know by the markers which KPIs have their past.

        Returns those whose past was only written in part, and the keys of markers of another rule
        set.
        """
        half, unknown = set(), []
        for key, data in markers:
            name, marker = kpi_of(key), _read_marker(key, data)
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
        """Note that a KPI has state of before it had a backfill: that is past enough."""
        if kpi in self._buffers:
            self._done(kpi, BEGINNING_MS, ())

    def buffer(self, block: Block, source: int, position: int) -> bool:
        """Keep a frame's partials if they are of a KPI that waits; whether they are."""
        buffer = self._buffers.get(block.kpi)
        if buffer is not None:
            buffer.update(block, source, position)
        return buffer is not None

    def reached(self, kpi: str, frontier_ms: int) -> bool:
        """Note how far the live flow is settled if the KPI waits; whether it does."""
        buffer = self._buffers.get(kpi)
        if buffer is not None:
            buffer.frontier_ms = frontier_ms
        return buffer is not None

    def note(self, frame: Frame) -> list[BackfillBuffer]:
        """Note what the last frame of a flush says; those that wait no longer, because the live
        flow has all there ever was."""
        begin = []
        for name, buffer in list(self._buffers.items()):
            if frame.topic in self._sources_of(buffer).contract.topics:
                buffer.note(frame)
                if self._handoff_ms(buffer) == BEGINNING_MS:
                    begin.append(self._done(name, BEGINNING_MS, ()))
        return begin

    def pending(self) -> list[PendingBackfill]:
        """Those whose live flow is past the handoff: what decides their past is in the logs."""
        pending = []
        for name, buffer in self._buffers.items():
            handoff, frontier = self._handoff_ms(buffer), buffer.frontier_ms
            if handoff is not None and frontier is not None and frontier >= handoff:
                sources = self._sources_of(buffer).sources()
                covered = {source: status.covered for source, status in sources}
                pending.append(PendingBackfill(name, handoff, covered))
        return pending

    def adopt(
        self,
        kpi: str,
        handoff_ms: int,
        sources: Collection[Source],
        rows: Sequence[Row],
    ) -> BackfillBuffer | None:
        """Let a KPI have its past, as the rows that it would have left, read from these sources.

        None, and nothing has changed: it does not wait, or not all that came since is here.
        """
        buffer = self._buffers.get(kpi)
        handoff = self._handoff_ms(buffer) if buffer is not None else None
        if buffer is None or handoff is None or handoff > handoff_ms:
            return None
        if not {source for source, _ in self._sources_of(buffer).sources()} <= set(sources):
            return None
        # A crash may leave any first part of them: the marker says first that they are being
        # written, and last that they are.
        self._rows.append(_marker_row(buffer.kpi, handoff_ms, False))
        return self._done(kpi, handoff_ms, rows)

    def _done(self, kpi: str, handoff_ms: int, rows: Sequence[Row]) -> BackfillBuffer:
        buffer = self._buffers.pop(kpi)
        begun_ms = BEGINNING_MS if buffer.frontier_ms is None else buffer.frontier_ms
        self._rows += [*rows, _marker_row(buffer.kpi, handoff_ms, True, begun_ms)]
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


def _read_marker(key: bytes, row: bytes) -> BackfillMarker:
    """Read a marker. Raises UnknownVersion and DamagedRow."""
    try:
        return _markers.decode(body_of(key, row))
    except msgspec.DecodeError as error:
        raise DamagedRow(key, f"the marker of its backfill can't be read ({error})") from error


def _marker_row(kpi: Kpi, handoff_ms: int, done: bool, begun_ms: int = BEGINNING_MS) -> Row:
    marker = BackfillMarker(kpi.fingerprint, handoff_ms, done, begun_ms)
    return marker_key(kpi.name), versioned(_encoder.encode(marker))
