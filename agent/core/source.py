"""How far one source partition has been folded, and from where a restart must read again.

The state is a pure function of the partition's log up to `covered`. A *horizon* is the end of the
last slice, over all KPIs of a contract, that an instant belongs to: once the watermark has passed
horizon plus lateness, nothing in there is unfinished any more.

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

NO_TIME_MS = NO_INT
"""Stands for "no event yet" in arrays of times."""


@dataclass(frozen=True, slots=True)
class Commit:
    """An offset to commit with its metadata."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a restart begins: read from `offset` with the running maximum at `floor_ms`; the log
    up to `covered` was told already, when the running maximum was `watermark_ms`."""

    offset: int
    covered: int
    watermark_ms: int | None
    floor_ms: int | None

    @classmethod
    def parse(cls, offset: int, metadata: str) -> Resume:
        """Read a commit. Metadata that is not ours means a plain offset: nothing is known before
        it, so nothing before it is told again."""
        parts = metadata.split(";")
        if len(parts) != 4 or parts[0] != "1":
            return cls(offset, offset, None, None)
        try:
            covered, watermark, floor = (int(p) if p else None for p in parts[1:])
        except ValueError:
            return cls(offset, offset, None, None)
        return cls(offset, covered if covered is not None else offset, watermark, floor)

    def commit(self) -> Commit:
        """The commit that `parse` reads back."""
        words = [self.covered, self.watermark_ms, self.floor_ms]
        return Commit(self.offset, ";".join(["1", *("" if w is None else str(w) for w in words)]))


@dataclass(slots=True)
class SourceProgress:
    """One source partition. `needs` is, by contract and horizon, the first offset it needs and the
    watermark just before that offset."""

    covered: int
    watermark_ms: int | None = None
    told: int = 0
    told_watermark_ms: int | None = None
    needs: dict[str, dict[int, tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def resumed(cls, resume: Resume) -> SourceProgress:
        """The progress that a restart begins with."""
        return cls(resume.offset, resume.floor_ms, resume.covered, resume.watermark_ms)

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

    def need(self, contract: str, horizon_ms: int, offset: int, before_ms: int) -> None:
        """Note that a horizon needs the log from `offset`, if no earlier one is noted."""
        needs = self.needs.setdefault(contract, {})
        known = needs.get(horizon_ms)
        if known is None or offset < known[0]:
            needs[horizon_ms] = (offset, before_ms)

    def forget_finished(self, contract: str, lateness_ms: int) -> None:
        """Drop the horizons that the watermark has passed."""
        needs = self.needs.get(contract)
        if needs and self.watermark_ms is not None:
            done = self.watermark_ms - lateness_ms
            self.needs[contract] = {h: n for h, n in needs.items() if h > done}

    def resume(self) -> Resume:
        """Where a restart would begin if it came now."""
        first = (self.covered, NO_TIME_MS if self.watermark_ms is None else self.watermark_ms)
        for needs in self.needs.values():
            first = min(first, *needs.values()) if needs else first
        floor = None if first[1] == NO_TIME_MS else first[1]
        return Resume(first[0], self.covered, self.watermark_ms, floor)
