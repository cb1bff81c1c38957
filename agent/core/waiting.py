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

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from agent.core.frame import Block, Frame
from agent.core.plan import Dimensions, Kpi
from agent.core.series import State

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
        self._partials: dict[int, dict[tuple[int, Dimensions], State]] = {}

    def hear(self, frame: Frame) -> None:
        """Note what the last frame of a flush says of its source."""
        if frame.filled.get(self.kpi.name) != self.kpi.fingerprint:
            self._since.pop(frame.partition, None)
        elif frame.partition not in self._since:
            known = frame.since_ms
            self._since[frame.partition] = BEGINNING_MS if known is None else known

    def take(self, block: Block, source: int, position: int) -> None:
        """Keep a frame's cumulative partials: one replaces the one known from the same source."""
        dimensions = [tuple(d) for d in block.dimensions]
        for number, start, state in zip(
            block.series, block.slices, zip(*block.columns, strict=True), strict=True
        ):
            self._partials.setdefault(start, {})[source, dimensions[number]] = state
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

    def blocks(self, from_ms: int) -> Iterator[tuple[Block, int]]:
        """The partials of slices that start at or after an instant, with their sources."""
        kept = sorted(start for start in self._partials if start >= from_ms)
        by_source: dict[int, list[tuple[Dimensions, int, State]]] = {}
        for start in kept:
            for (source, dimensions), state in self._partials[start].items():
                by_source.setdefault(source, []).append((dimensions, start, state))
        for source, rows in by_source.items():
            columns = [list(column) for column in zip(*(state for *_, state in rows), strict=True)]
            series = list(range(len(rows)))
            yield (
                Block(
                    self.kpi.name, self.kpi.fingerprint, [list(d) for d, *_ in rows], series,
                    [start for _, start, _ in rows], columns,
                ),
                source,
            )  # fmt: skip


_encoder = msgspec.msgpack.Encoder()
_marks = msgspec.msgpack.Decoder(Mark)
_ONE = 0x91
"""The first byte of a list of one, in msgpack."""


def mark_key(kpi: str) -> bytes:
    """The table key of a KPI's mark."""
    return _encoder.encode([kpi])


def is_mark(key: bytes) -> bool:
    """Whether a table key is that of a mark: the KPI alone."""
    return key[0] == _ONE


def read_mark(key: bytes, data: bytes) -> tuple[str, Mark] | None:
    """The KPI and its mark; None when the row is of another layout."""
    try:
        return kpi_of(key), _marks.decode(data)
    except msgspec.DecodeError:
        return None


def mark_row(kpi: Kpi, cut_ms: int, done: bool) -> tuple[bytes, bytes]:
    """A mark's row."""
    return mark_key(kpi.name), _encoder.encode(Mark(kpi.fingerprint, cut_ms, done))


def kpi_of(key: bytes) -> str:
    """The KPI that a table key names first."""
    return str(msgspec.msgpack.decode(key)[0])


def wrapped(
    kpi: Kpi, rows: Sequence[tuple[bytes, bytes]], cut_ms: int
) -> list[tuple[bytes, bytes]]:
    """Rows of a backfill as they are written: a crash may leave any first part of them, so the
    mark says first that they are being written, and last that they are."""
    return [mark_row(kpi, cut_ms, False), *rows, mark_row(kpi, cut_ms, True)]
