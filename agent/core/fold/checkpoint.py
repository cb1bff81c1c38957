"""How far one source partition has been folded, and from where a restart must read again.

The state is a pure function of the partition's log up to `covered`. The *horizon* of an instant is
the end of the last slice, over all KPIs of a contract, that contains it: once the watermark has
passed the horizon plus the lateness, all these slices are finished. Ids have horizons of their own.

The committed offset is the first one that an unfinished horizon needs. The metadata contains the
covered offset, the watermark there, and `floor_ms`, the watermark just before the committed offset.
A restart reads from the committed offset with the watermark at `floor_ms`, so that every record up
to the covered offset gets the same verdict as before. Slices that were finished at the covered
offset are not sent again, because their first records may come before the committed offset.

All of that holds for one log that is read without a gap. The commit also contains the topic's id
and an *epoch*, which grows when reading continues after a gap (retention deleted records, or
somebody moved the offsets) and when a topic was deleted and created again. Partials of a later
epoch are added to those of an earlier one, and replace none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.core.aggregate.columns import NO_INT, Ints
from agent.core.fold.lookup_steps import LookupSteps
from agent.errors import UnknownVersionError

COMMIT_VERSION = 3
"""Version of a commit's metadata, raised with every change that an older agent would misread."""
_WITHOUT_LOOKUPS = 2
"""The version of a commit without steps of lookups, which older agents read."""

NO_TIME_MS = NO_INT
"""Stands for "no event yet" in arrays of times."""


@dataclass(frozen=True, slots=True)
class Commit:
    """An offset to commit with its metadata."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class MissedSpan:
    """A span of event time in which records of a source partition are missing, because they were
    not there any more when they should have been read.

    `from_ms` is the watermark before them (None: there was none), so the windows that may lack a
    record are those that a record of that watermark could still count in, and all up to `until_ms`.
    `until_ms` None: not known before the first record behind the gap is read.
    """

    from_ms: int | None
    until_ms: int | None

    def joined(self, earlier: MissedSpan | None) -> MissedSpan:
        """One span over this one and an earlier one."""
        if earlier is None:
            return self
        first = None if None in (self.from_ms, earlier.from_ms) else earlier.from_ms
        ends = [end for end in (self.until_ms, earlier.until_ms) if end is not None]
        return MissedSpan(first, max(ends) if len(ends) == 2 else None)


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a restart begins: it reads from `offset`, with the watermark at `floor_ms`. Frames for
    the log up to `covered` were sent; the watermark there was `watermark_ms`.

    `topic_id`: the broker's id of the topic; "" if the broker has none. `epoch`: see above.
    `missed`: the last span of event time whose records were not read. `is_plain`: the offset was
    not committed by the agent, or somebody moved it, so the log before it is unknown. `clocks`: the
    clocks by which events from the future are rejected, as (first offset, ms), ascending.
    `lookups`: the text of `LookupSteps`.
    """

    offset: int
    covered: int
    watermark_ms: int | None
    floor_ms: int | None
    topic_id: str = ""
    epoch: int = 0
    missed: MissedSpan | None = None
    is_plain: bool = False
    clocks: tuple[tuple[int, int], ...] = ()
    lookups: str = ""

    @classmethod
    def parse(cls, offset: int, metadata: str) -> Resume:
        """Parse a commit. Metadata that the agent did not write means a plain offset: the log
        before it is unknown, and no frame is sent for it. Raises `UnknownVersionError` for the
        metadata of a later version of the agent."""
        plain = cls(offset, offset, None, None, is_plain=True)
        version, *parts = metadata.split(";")
        if parts and version.isdigit() and int(version) > COMMIT_VERSION:
            raise UnknownVersionError("a commit", int(version), COMMIT_VERSION)
        try:
            lookups = parts.pop() if int(version) > _WITHOUT_LOOKUPS else ""
            LookupSteps.parse(lookups)
            *numbers, clocks = parts
            topic_id = numbers.pop(3)
            covered, watermark, floor, epoch, first, last = (int(p) if p else None for p in numbers)
            pairs = [pair.split(":") for pair in clocks.split(",") if pair]
            known = tuple((int(at), int(clock)) for at, clock in pairs)
        except (ValueError, IndexError):
            return plain
        if covered is None:
            return plain
        span = MissedSpan(first, last) if last is not None else None
        return cls(
            offset, covered, watermark, floor, topic_id, epoch or 0, span, clocks=known,
            lookups=lookups,
        )  # fmt: skip

    def commit(self) -> Commit:
        """The commit that `parse` reads back."""
        span = self.missed or MissedSpan(None, None)
        clocks = ",".join(f"{at}:{clock}" for at, clock in self.clocks)
        version = COMMIT_VERSION if self.lookups else _WITHOUT_LOOKUPS
        words = [
            *(version, self.covered, self.watermark_ms, self.floor_ms),
            *(self.topic_id, self.epoch, span.from_ms, span.until_ms, clocks),
            *([self.lookups] if self.lookups else []),
        ]
        return Commit(self.offset, ";".join("" if w is None else str(w) for w in words))


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
    """One source partition. `sent_covered` and `sent_watermark_ms`: the offset that frames covered
    before a restart, and the watermark there. `slices` and `ids` are, by contract, what the
    unfinished slices and the remembered ids need."""

    covered: int
    watermark_ms: int | None = None
    sent_covered: int = 0
    sent_watermark_ms: int | None = None
    topic_id: str = ""
    epoch: int = 0
    missed: MissedSpan | None = None
    clocks: list[tuple[int, int]] = field(default_factory=list)
    lookups: LookupSteps = field(default_factory=LookupSteps)
    slices: dict[str, Needs] = field(default_factory=dict)
    ids: dict[str, Needs] = field(default_factory=dict)

    @classmethod
    def resumed(cls, resume: Resume, clock_ms: int | None = None) -> SourceProgress:
        """The progress at the start. `clock_ms`: the clock, if the commit has none."""
        clocks = list(resume.clocks)
        if not clocks and clock_ms is not None:
            clocks = [(0, clock_ms)]
        return cls(
            resume.offset, resume.floor_ms, resume.covered, resume.watermark_ms,
            resume.topic_id, resume.epoch, resume.missed, clocks, LookupSteps.parse(resume.lookups),
        )  # fmt: skip

    def bound_missed(self, until_ms: int) -> None:
        """Note up to when records may be missing, where that was not known yet."""
        if self.missed is not None and self.missed.until_ms is None:
            self.missed = MissedSpan(self.missed.from_ms, until_ms)

    def missed_until(self, unread_until_ms: int) -> tuple[int | None, int] | None:
        """The span of missing records, as frames carry it; up to `unread_until_ms` while no record
        behind the gap was read."""
        if self.missed is None:
            return None
        until_ms = self.missed.until_ms
        return self.missed.from_ms, unread_until_ms if until_ms is None else until_ms

    @property
    def rebuilding(self) -> bool:
        """Whether the log before the last commit's covered offset is being read again."""
        return self.covered < self.sent_covered

    def advance(self, times_ms: Ints, next_offset: int) -> Ints:
        """Take in event times in log order (`NO_TIME_MS`: none); the watermark before each."""
        start = NO_TIME_MS if self.watermark_ms is None else self.watermark_ms
        running = np.maximum.accumulate(np.concatenate(([start], times_ms)))
        last = int(running[-1])
        self.watermark_ms = None if last == NO_TIME_MS else last
        self.covered = next_offset
        return running[:-1]

    def set_clock(self, offset: int, clock_ms: int) -> None:
        """Use a later clock from an offset on."""
        if self.clocks and clock_ms > self.clocks[-1][1]:
            self.clocks.append((offset, clock_ms))

    @property
    def first_clock_ms(self) -> int | None:
        """The earliest clock that evaluates a record that is still read; None: none does."""
        return self.clocks[0][1] if self.clocks else None

    def clocks_at(self, offsets: Ints) -> Ints:
        """The clock that evaluates the record at each offset, where one does."""
        since, clocks = np.array(self.clocks, np.int64).T
        at: Ints = clocks[np.maximum(since.searchsorted(offsets, side="right") - 1, 0)]
        return at

    def promise_lookups(self) -> str:
        """Promise that what is covered is joined by these steps of lookups, which are returned as a
        commit has them."""
        self.lookups.promised = max(self.lookups.promised, self.covered)
        return self.lookups.text()

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
        self.lookups.forget_before(offset)
        return Resume(
            offset, self.covered, self.watermark_ms, floor, self.topic_id, self.epoch, self.missed,
            clocks=tuple(self.clocks), lookups=self.lookups.text(),
        )  # fmt: skip
