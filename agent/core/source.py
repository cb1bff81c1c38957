"""How far one source partition has been folded, and from where a restart must read again.

The state is a pure function of the partition's log up to `covered`. A *horizon* is the end of the
last slice, over all KPIs of a contract, that an instant belongs to: once the watermark has passed
horizon plus lateness, nothing in there is unfinished any more. Ids have horizons of their own.

The committed offset is h, the first offset that an unfinished horizon needs. The commit's metadata
carries C (the offset covered), W (the watermark at C) and F (the watermark just before h). A
restart reads from h with the watermark at F, so that every record in `[h, C)` meets the very
verdict it met before; what was finished at W is not sent again, because its first records may lie
before h.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.core.columns import NO_INT, Ints
from agent.errors import UnknownVersionError

NO_TIME_MS = NO_INT
"""Stands for "no event yet" in arrays of times."""


@dataclass(frozen=True, slots=True)
class Commit:
    """An offset to commit with its metadata."""

    offset: int
    metadata: str


VERSION = 1
"""Of a commit's metadata."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a restart begins: read from `offset` with the running maximum at `floor_ms`; the log
    up to `covered` was told already, when the running maximum was `watermark_ms`. `clocks`: by
    which clock events from the future are judged, as (offset from which on, ms), ascending."""

    offset: int
    covered: int
    watermark_ms: int | None
    floor_ms: int | None
    clocks: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, offset: int, metadata: str) -> Resume:
        """Read a commit. Metadata that is not ours means a plain offset: nothing is known before
        it, so nothing before it is told again. Raises `UnknownVersionError`."""
        version, *parts = metadata.split(";")
        if parts and version.isdigit() and int(version) != VERSION:
            raise UnknownVersionError("a commit", int(version), VERSION)
        try:
            *numbers, clocks = parts
            covered, watermark, floor = (int(p) if p else None for p in numbers)
            pairs = [pair.split(":") for pair in clocks.split(",") if pair]
            known = tuple((int(at), int(clock)) for at, clock in pairs)
        except ValueError:
            return cls(offset, offset, None, None)
        return cls(offset, offset if covered is None else covered, watermark, floor, known)

    def commit(self) -> Commit:
        """The commit that `parse` reads back."""
        numbers = [self.covered, self.watermark_ms, self.floor_ms]
        clocks = ",".join(f"{at}:{clock}" for at, clock in self.clocks)
        words = [str(VERSION), *("" if w is None else str(w) for w in numbers), clocks]
        return Commit(self.offset, ";".join(words))


@dataclass(slots=True)
class Needs:
    """By horizon, the first offset that it needs and the watermark just before that offset."""

    _by_horizon: dict[int, tuple[int, int]] = field(default_factory=dict)

    def note(self, horizon_ms: int, offset: int, before_ms: int) -> None:
        """Note that a horizon needs the log from `offset`, if no earlier one is noted."""
        known = self._by_horizon.get(horizon_ms)
        if known is None or offset < known[0]:
            self._by_horizon[horizon_ms] = (offset, before_ms)

    def of(self, horizon_ms: int) -> tuple[int, int] | None:
        """What an unfinished horizon needs."""
        return self._by_horizon.get(horizon_ms)

    def forget(self, done_ms: int) -> None:
        """Drop the horizons up to an instant."""
        self._by_horizon = {h: n for h, n in self._by_horizon.items() if h > done_ms}

    def first(self) -> tuple[int, int] | None:
        """What is needed first of all."""
        return min(self._by_horizon.values(), default=None)


@dataclass(slots=True)
class SourceProgress:
    """One source partition. `slices` and `ids` are, by contract, what the unfinished slices and the
    remembered ids need."""

    covered: int
    watermark_ms: int | None = None
    told: int = 0
    told_watermark_ms: int | None = None
    clocks: list[tuple[int, int]] = field(default_factory=list)
    slices: dict[str, Needs] = field(default_factory=dict)
    ids: dict[str, Needs] = field(default_factory=dict)

    @classmethod
    def resumed(cls, resume: Resume, clock_ms: int | None = None) -> SourceProgress:
        """The progress that a restart begins with; `clock_ms` judges where no commit says how."""
        clocks = list(resume.clocks)
        if not clocks and clock_ms is not None:
            clocks = [(0, clock_ms)]
        return cls(resume.offset, resume.floor_ms, resume.covered, resume.watermark_ms, clocks)

    @property
    def rebuilding(self) -> bool:
        """Whether the log is still read again up to what was told before."""
        return self.covered < self.told

    def advance(self, times_ms: Ints, next_offset: int) -> Ints:
        """Take in event times in log order (`NO_TIME_MS`: none); the watermark before each."""
        start = NO_TIME_MS if self.watermark_ms is None else self.watermark_ms
        running = np.maximum.accumulate(np.concatenate(([start], times_ms)))
        last = int(running[-1])
        self.watermark_ms = None if last == NO_TIME_MS else last
        self.covered = next_offset
        return running[:-1]

    def set_clock(self, offset: int, clock_ms: int) -> None:
        """Judge events from an offset on by a later clock."""
        if self.clocks and clock_ms > self.clocks[-1][1]:
            self.clocks.append((offset, clock_ms))

    def clocks_at(self, offsets: Ints) -> Ints | None:
        """The clock that judges the record at each offset; None: none does."""
        if not self.clocks:
            return None
        since, clocks = np.array(self.clocks, np.int64).T
        at: Ints = clocks[np.maximum(since.searchsorted(offsets, side="right") - 1, 0)]
        return at

    def forget_finished(self, contract: str, lateness_ms: int) -> None:
        """Drop the slices that the watermark has passed."""
        if self.watermark_ms is not None and contract in self.slices:
            self.slices[contract].forget(self.watermark_ms - lateness_ms)

    def resume(self) -> Resume:
        """Where a restart would begin if it came now."""
        now = (self.covered, NO_TIME_MS if self.watermark_ms is None else self.watermark_ms)
        needs = (*self.slices.values(), *self.ids.values())
        offset, before = min((f for n in needs if (f := n.first()) is not None), default=now)
        floor = None if before == NO_TIME_MS else before
        # Those in force at the offset or later.
        later = sum(at > offset for at, _ in self.clocks)
        del self.clocks[: max(0, len(self.clocks) - later - 1)]
        return Resume(offset, self.covered, self.watermark_ms, floor, tuple(self.clocks))
