"""A KPI that waits for its past: what the live flow brings meanwhile, and from when on that is all.

A KPI with `backfill` that has no state yet is not judged at once. Its live partials are kept here,
for one state partition, until somebody has folded what came before them (`agent.core.backfill`).

Where the two meet is the *cut*: live partials count for slices that start at or after it, the
backfill for those before. A frame tells which KPIs its source's owner folds, and up to which
instant they may have events that it has not folded, or told in an earlier frame only: `since_ms`,
in general the newest event time at the frame. The first frame that names the KPI decides for its
source, because whatever was told before may not have been heard here. Every event of a slice that
starts later is told in a later frame. One that does not name the KPI, from a worker with older
rules, makes its source begin anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent.core.aggregate.aggregator import Aggregator
from agent.core.aggregate.rows import SlicePartials
from agent.core.frame import Block, Frame, named
from agent.core.merge.watermark import TopicSources
from agent.core.model.plan import Kpi, Plan
from agent.core.state.rows import DamagedRow, Row, body_of, kpi_of, versioned

BEGINNING_MS = -(2**62)
"""Stands for "from the first event on": no event is older."""


@dataclass(frozen=True, slots=True)
class Due:
    """What a backfill must read: everything before the offsets `covered`, by source partition,
    decides what lies before `cut_ms`."""

    kpi: str
    cut_ms: int
    covered: dict[int, int]


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """A row that says what became of a KPI's backfill: `done` False: its rows are being written."""

    fingerprint: str
    cut_ms: int
    done: bool


class Waiting:
    """The live partials of one KPI in one state partition, until its past is known."""

    def __init__(self, kpi: Kpi) -> None:
        self.kpi = kpi
        self.frontier_ms: int | None = None
        self.first_position: int | None = None
        self._since: dict[int, int] = {}
        self._aggregator = Aggregator(kpi)
        self._slices: dict[tuple[int, int | None], SlicePartials] = {}

    def hear(self, frame: Frame) -> None:
        """Note what the last frame of a flush says of its source."""
        if frame.filled.get(self.kpi.name) != self.kpi.fingerprint:
            self._since.pop(frame.partition, None)
        elif frame.partition not in self._since:
            known = frame.since_ms
            self._since[frame.partition] = BEGINNING_MS if known is None else known

    def take(self, block: Block, source: int, position: int) -> None:
        """Keep a frame's cumulative partials: one replaces the one known from the same source."""
        key = block.start_ms, block.pane_ms
        if key not in self._slices:
            self._slices[key] = SlicePartials(self._aggregator, named)
        self._slices[key].take(block, source)
        if self.first_position is None:
            self.first_position = position

    def cut_ms(self, sources: Collection[int], partitions: int) -> int | None:
        """The first slice start from which on everything is live; None while a source was not
        heard of. `BEGINNING_MS`: all of it is live."""
        if len(sources) < partitions or not self._since.keys() >= set(sources):
            return None
        since = max(self._since.values(), default=BEGINNING_MS)
        span = self.kpi.slice_ms
        return since if since == BEGINNING_MS else since - since % span + span

    def blocks(self, from_ms: int) -> Iterator[tuple[int, Block]]:
        """The partials of slices that start at or after an instant, with their sources."""
        for (start, pane), of_slice in self._slices.items():
            if start >= from_ms:
                name, fingerprint = self.kpi.name, self.kpi.fingerprint
                yield from of_slice.blocks(name, fingerprint, start, pane)


class Waitings:
    """All KPIs of one state partition that wait, and the marks of those that have their past.

    `sources` are the source partitions by topic, as frames tell of them. `cuts` has the cut of
    every KPI that was given its past; `rows` are to be written as they are, before all others.
    """

    def __init__(self, plan: Plan, sources: Mapping[str, TopicSources]) -> None:
        self._plan = plan
        self._sources = sources
        self._waiting = {
            name: Waiting(kpi) for name, kpi in plan.kpis.items() if kpi.backfill_ms is not None
        }
        self.cuts: dict[str, int] = {}
        self.rows: list[tuple[bytes, bytes]] = []

    @property
    def names(self) -> frozenset[str]:
        """The KPIs that wait."""
        return frozenset(self._waiting)

    @property
    def first_position(self) -> int | None:
        """The first frame that holds anything of theirs."""
        known = [w.first_position for w in self._waiting.values() if w.first_position is not None]
        return min(known, default=None)

    def restore(self, marks: Iterable[tuple[bytes, bytes]]) -> tuple[set[str], list[bytes]]:
        """Know by the marks which KPIs have their past.

        Returns those whose past was only written in part, and the keys of marks of another rule
        set.
        """
        half, foreign = set(), []
        for key, data in marks:
            name, mark = kpi_of(key), _read_mark(key, data)
            kpi = self._plan.kpis.get(name)
            if kpi is None or kpi.fingerprint != mark.fingerprint:
                foreign.append(key)
            elif mark.done:
                self._waiting.pop(name, None)
                self.cuts[name] = mark.cut_ms
            else:
                half.add(name)
        return half, foreign

    def had_state(self, kpi: str) -> None:
        """Note that a KPI has state of before it had a backfill: that is past enough."""
        if kpi in self._waiting:
            self._done(kpi, BEGINNING_MS, ())

    def take(self, block: Block, source: int, position: int) -> bool:
        """Keep a frame's partials if they are of a KPI that waits; whether they are."""
        waiting = self._waiting.get(block.kpi)
        if waiting is not None:
            waiting.take(block, source, position)
        return waiting is not None

    def reached(self, kpi: str, frontier_ms: int) -> bool:
        """Note how far the live flow is settled if the KPI waits; whether it does."""
        waiting = self._waiting.get(kpi)
        if waiting is not None:
            waiting.frontier_ms = frontier_ms
        return waiting is not None

    def hear(self, frame: Frame) -> list[Waiting]:
        """Note what the last frame of a flush says; those that wait no longer, because the live
        flow has all there ever was."""
        begin = []
        for name, waiting in list(self._waiting.items()):
            if self._topic(waiting.kpi) == frame.topic:
                waiting.hear(frame)
                if self._cut_ms(waiting) == BEGINNING_MS:
                    begin.append(self._done(name, BEGINNING_MS, ()))
        return begin

    def due(self) -> list[Due]:
        """Those whose live flow is past the cut: what decides their past is in the logs."""
        found = []
        for name, waiting in self._waiting.items():
            claims = self._sources[self._topic(waiting.kpi)].claims
            cut, frontier = self._cut_ms(waiting), waiting.frontier_ms
            if cut is not None and frontier is not None and frontier >= cut:
                found.append(Due(name, cut, {p: claim.covered for p, claim in claims.items()}))
        return found

    def adopt(
        self,
        kpi: str,
        cut_ms: int,
        sources: Collection[int],
        rows: Sequence[tuple[bytes, bytes]],
    ) -> Waiting | None:
        """Let a KPI have its past, as the rows that it would have left, read from these sources.

        None, and nothing has changed: it does not wait, or not all that came since is here.
        """
        waiting = self._waiting.get(kpi)
        cut = self._cut_ms(waiting) if waiting is not None else None
        if waiting is None or cut is None or cut > cut_ms:
            return None
        if not self._sources[self._topic(waiting.kpi)].claims.keys() <= set(sources):
            return None
        # A crash may leave any first part of them: the mark says first that they are being
        # written, and last that they are.
        self.rows.append(_mark_row(waiting.kpi, cut_ms, False))
        return self._done(kpi, cut_ms, rows)

    def _done(self, kpi: str, cut_ms: int, rows: Sequence[tuple[bytes, bytes]]) -> Waiting:
        waiting = self._waiting.pop(kpi)
        self.rows += [*rows, _mark_row(waiting.kpi, cut_ms, True)]
        self.cuts[kpi] = cut_ms
        return waiting

    def _cut_ms(self, waiting: Waiting) -> int | None:
        sources = self._sources[self._topic(waiting.kpi)]
        return waiting.cut_ms(sources.claims.keys(), sources.partitions)

    def _topic(self, kpi: Kpi) -> str:
        return self._plan.contracts[kpi.contract or ""].topic


_encoder = msgspec.msgpack.Encoder()
_marks = msgspec.msgpack.Decoder(Mark)


def mark_key(kpi: str) -> bytes:
    """The table key of a KPI's mark."""
    return _encoder.encode([kpi])


def _read_mark(key: bytes, row: bytes) -> Mark:
    """Read a mark. Raises UnknownVersion and DamagedRow."""
    try:
        return _marks.decode(body_of(key, row))
    except msgspec.DecodeError as error:
        raise DamagedRow(key, f"the marker of its backfill can't be read ({error})") from error


def _mark_row(kpi: Kpi, cut_ms: int, done: bool) -> Row:
    mark = Mark(kpi.fingerprint, cut_ms, done)
    return mark_key(kpi.name), versioned(_encoder.encode(mark))
