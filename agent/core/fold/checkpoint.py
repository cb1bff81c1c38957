"""The progress of one source partition, and from where a restart must read again.

The progress is a pure function of the partition's log up to `covered`. The *horizon* of an instant
is the end of the last slice, over all KPIs of a contract, that contains it: once the watermark has
passed the horizon plus the lateness, all these slices are finished. Ids have horizons of their own.

The committed offset is the first one that an unfinished horizon needs. The metadata contains the
covered offset, the watermark there, and `floor_ms`, the watermark just before the committed offset.
A restart reads from the committed offset with the watermark at `floor_ms`, so that every record up
to the covered offset gets the same verdict as before. Slices that were finished at the covered
offset are not sent again, because their first records may come before the committed offset.

This applies to one log that is read without gaps. The commit also contains the topic's id and an
*epoch*, which increases when reading continues after a gap (retention deleted records, or somebody
moved the offsets) and when the topic was deleted and created again. Partials of a later epoch are
added to those of earlier epochs, and do not replace them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.core.aggregate.columns import NO_INT, Ints
from agent.core.fold.lookup_steps import LookupSteps
from agent.errors import UnknownVersionError

COMMIT_VERSION = 3
"""The version of a commit's metadata. It increases with each change that an older agent would
misread."""
_WITHOUT_LOOKUPS = 2
"""The version of a commit without lookup steps, which older agents can read."""

NO_TIME_MS = NO_INT
""""No event yet" in arrays of times."""


@dataclass(frozen=True, slots=True)
class Commit:
    """An offset to commit with its metadata."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class MissedSpan:
    """A span of event time in which records of a source partition are missing, because they were
    deleted before they were read.

    `from_ms` is the watermark before the gap (None: there was none). All windows may be incomplete
    that a record at that watermark could count in, and later ones up to `until_ms`. `until_ms`
    None: unknown until the first record after the gap is read.
    """

    from_ms: int | None
    until_ms: int | None

    def union(self, earlier: MissedSpan | None) -> MissedSpan:
        """One span that covers this one and an earlier one."""
        if earlier is None:
            return self
        first = None if None in (self.from_ms, earlier.from_ms) else earlier.from_ms
        ends = [end for end in (self.until_ms, earlier.until_ms) if end is not None]
        return MissedSpan(first, max(ends) if len(ends) == 2 else None)


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a restart begins: it reads from `offset`, with the watermark at `floor_ms`. Frames for
    the log up to `covered` were sent; the watermark there was `watermark_ms`.

    - `topic_id`: the broker's id of the topic; "": the broker has none. `epoch`: see the module.
    - `missed`: the last span of event time with missing records.
    - `is_plain`: the agent did not commit this offset, or somebody moved it, so the log before it
      is unknown.
    - `clocks`: the clocks by which events from the future are rejected, as (first offset, ms),
      ascending.
    - `lookups`: the text of `LookupSteps`.
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
        """Parse a commit. If the agent did not write the metadata, the result `is_plain`: no frames
        are sent for the log before the offset. Raises `UnknownVersionError` for the metadata of a
        later version of the agent."""
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
            clock_steps = tuple((int(at), int(clock)) for at, clock in pairs)
        except (ValueError, IndexError):
            return plain
        if covered is None:
            return plain
        span = MissedSpan(first, last) if last is not None else None
        return cls(
            offset, covered, watermark, floor, topic_id, epoch or 0, span, clocks=clock_steps,
            lookups=lookups,
        )  # fmt: skip

    def commit(self) -> Commit:
        """The commit for this point, which `parse` reads."""
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

    def get(self, horizon_ms: int) -> tuple[int, int] | None:
        """The first offset that an unfinished horizon needs, and the watermark before it."""
        return self._by_horizon.get(horizon_ms)

    def forget(self, done_ms: int) -> None:
        """Drop the horizons up to an instant."""
        self._by_horizon = {h: n for h, n in self._by_horizon.items() if h > done_ms}

    def first(self) -> tuple[int, int] | None:
        """The first offset that any horizon needs, and the watermark before it."""
        return min(self._by_horizon.values(), default=None)


@dataclass(slots=True)
class SourceProgress:
    """The progress of one source partition.

    `sent_covered` and `sent_watermark_ms`: the offset that frames covered before a restart, and the
    watermark there. `unread_until_ms`: no unread event was later when the missed span was first
    sent. `slices` and `ids`: by contract, the offsets that unfinished slices and
    remembered ids need.
    """

    covered: int
    watermark_ms: int | None = None
    sent_covered: int = 0
    sent_watermark_ms: int | None = None
    topic_id: str = ""
    epoch: int = 0
    missed: MissedSpan | None = None
    unread_until_ms: int | None = None
    clocks: list[tuple[int, int]] = field(default_factory=list)
    lookups: LookupSteps = field(default_factory=LookupSteps)
    slices: dict[str, Needs] = field(default_factory=dict)
    ids: dict[str, Needs] = field(default_factory=dict)

    @classmethod
    def resumed(cls, resume: Resume, clock_ms: int | None = None) -> SourceProgress:
        """The progress at a restart. `clock_ms`: the clock to use if the commit has none."""
        clocks = list(resume.clocks)
        if not clocks and clock_ms is not None:
            clocks = [(0, clock_ms)]
        return cls(
            resume.offset, resume.floor_ms, resume.covered, resume.watermark_ms,
            resume.topic_id, resume.epoch, resume.missed, clocks=clocks,
            lookups=LookupSteps.parse(resume.lookups),
        )  # fmt: skip

    def bound_missed(self, until_ms: int) -> None:
        """Set the end of the missed span if it is unknown, from the first record after the gap."""
        if self.missed is not None and self.missed.until_ms is None:
            if self.unread_until_ms is not None:
                until_ms = min(until_ms, self.unread_until_ms)
            self.missed = MissedSpan(self.missed.from_ms, until_ms)

    def missed_until(self, unread_until_ms: int) -> tuple[int | None, int] | None:
        """The missed span for frames. While its end is unknown, it ends at the first
        `unread_until_ms`: what is missing was written before the gap was found."""
        if self.missed is None:
            return None
        if self.unread_until_ms is None:
            self.unread_until_ms = unread_until_ms
        until_ms = self.missed.until_ms
        return self.missed.from_ms, self.unread_until_ms if until_ms is None else until_ms

    @property
    def rebuilding(self) -> bool:
        """Whether the log before the last commit's covered offset is being read again."""
        return self.covered < self.sent_covered

    def advance(self, times_ms: Ints, next_offset: int) -> Ints:
        """Advance over event times in log order (`NO_TIME_MS`: none), up to `next_offset`; returns
        the watermark before each."""
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
        """The earliest clock that records are compared with; None: there is none."""
        return self.clocks[0][1] if self.clocks else None

    def clocks_at(self, offsets: Ints) -> Ints:
        """The clock that the record at each offset is compared with."""
        since, clocks = np.array(self.clocks, np.int64).T
        at: Ints = clocks[np.maximum(since.searchsorted(offsets, side="right") - 1, 0)]
        return at

    def fix_lookups(self) -> str:
        """Fix the lookup steps up to the covered offset, so that a restart joins these records
        alike; returns the text for the commit."""
        self.lookups.fixed_until = max(self.lookups.fixed_until, self.covered)
        return self.lookups.text()

    def forget_finished(self, contract: str, lateness_ms: int) -> None:
        """Drop the slices that the watermark has passed."""
        if self.watermark_ms is not None and contract in self.slices:
            self.slices[contract].forget(self.watermark_ms - lateness_ms)

    def resume(self) -> Resume:
        """Where a restart from the current state would begin."""
        now = (self.covered, NO_TIME_MS if self.watermark_ms is None else self.watermark_ms)
        needs = (*self.slices.values(), *self.ids.values())
        offset, before = min((f for n in needs if (f := n.first()) is not None), default=now)
        floor = None if before == NO_TIME_MS else before
        # Keep the clock at the offset and all later ones.
        later = sum(at > offset for at, _ in self.clocks)
        del self.clocks[: max(0, len(self.clocks) - later - 1)]
        self.lookups.forget_before(offset)
        # As its frames say: a commit can't hold a span without an end.
        span = self.missed_until(self.unread_until_ms) if self.unread_until_ms is not None else None
        missed = self.missed if span is None else MissedSpan(*span)
        return Resume(
            offset, self.covered, self.watermark_ms, floor, self.topic_id, self.epoch, missed,
            clocks=tuple(self.clocks), lookups=self.lookups.text(),
        )  # fmt: skip
