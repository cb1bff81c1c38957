"""The positions of the lookup topics as of which the records of a source partition are joined.

A lookup topic is a log of its own, so the row of an event is not a function of the event's log
alone. It is a function of both logs and of these *steps*: the offsets of the source from which on
records are joined as of another position. Rules:

1. A record is joined as of a position that was read after the record was fetched, so it sees all
   rows that were written to the lookup topic before it.
2. Steps are committed before the frames that depend on them are sent, with the offset up to which
   they are fixed (`fixed_until`). A restart joins the records up to there by the same steps.
3. A commit contains the steps from its offset on. They must fit the metadata, so if rows change
   often, some steps are delayed: half of the room is free; beyond that, steps are spaced so that
   they fit the event time that a commit can be back. A changed partition takes about ten
   characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.core.aggregate.columns import Ints
from agent.core.fold.lookup_topics import Position

MOST_CHARACTERS = 3_000
"""The maximum length of the text. A broker accepts 4,096 bytes of metadata for each commit
(offset.metadata.max.bytes)."""
FREE_CHARACTERS = MOST_CHARACTERS // 2
SHARED_CHARACTERS = MOST_CHARACTERS * 3 // 4


@dataclass(slots=True)
class LookupSteps:
    """The steps of one source partition, as (first offset, position), ascending."""

    fixed_until: int = 0
    steps: list[tuple[int, Position]] = field(default_factory=list)
    _moved_ms: int | None = None  # the watermark at the last step

    @property
    def logs(self) -> frozenset[str]:
        """The logs of lookup topics that records were joined with."""
        return frozenset(log for _, position in self.steps for log, _ in position)

    @classmethod
    def parse(cls, text: str) -> LookupSteps:
        """Parse the result of `text`. Raises ValueError for anything else."""
        if not text:
            return cls()
        fixed_until, topics, *steps = text.split("|")
        names = topics.split(",")
        out = cls(int(fixed_until))
        position: dict[tuple[str, int], int] = {}
        at = 0
        for step in steps:
            further, *changes = step.split(" ")
            at += int(further)
            for change in changes:
                place, _, more = change.partition("+")
                number, _, partition = place.partition(".")
                key = names[int(number)], int(partition)
                position[key] = position.get(key, 0) + int(more)
            out.steps.append((at, dict(position)))
        return out

    def text(self) -> str:
        """The steps for a commit's metadata, each as the difference from the one before."""
        if not self.steps:
            return ""
        names = sorted({topic for _, position in self.steps for topic, _ in position})
        numbers = {name: number for number, name in enumerate(names)}
        before: Position = {}
        at = 0
        texts = []
        for offset, position in self.steps:
            changed = sorted(place for place, end in position.items() if before.get(place) != end)
            words = [
                f"{numbers[t]}.{p}+{position[t, p] - before.get((t, p), 0)}" for t, p in changed
            ]
            texts.append(" ".join([str(offset - at), *words]))
            at, before = offset, position
        return "|".join([str(self.fixed_until), ",".join(names), *texts])

    def read(
        self, first: int, stop: int, position: Position, watermark_ms: int | None, span_ms: int
    ) -> None:
        """Join the records of `[first, stop)` as of a position, except those whose steps are fixed.

        `span_ms`: how far a commit can be back in event time.
        """
        self._complete(position)
        begin = max(first, self.fixed_until)
        if begin >= stop or (self.steps and self.steps[-1][1] == position):
            return
        self.steps.append((begin, position))
        if len(self.steps) > 1 and not self._has_room(watermark_ms, span_ms):
            self.steps.pop()
        else:
            self._moved_ms = watermark_ms

    def at(self, offsets: Ints) -> Ints:
        """The index of the step of each offset."""
        since = np.array([offset for offset, _ in self.steps], np.int64)
        steps: Ints = np.maximum(since.searchsorted(offsets, side="right") - 1, 0)
        return steps

    def forget_before(self, offset: int) -> None:
        """Drop the steps that no record from an offset on needs."""
        later = sum(at > offset for at, _ in self.steps)
        del self.steps[: max(0, len(self.steps) - later - 1)]

    def _has_room(self, watermark_ms: int | None, span_ms: int) -> bool:
        """Whether the last step fits the metadata, and is not too early."""
        text = self.text()
        characters = len(text)
        if characters < FREE_CHARACTERS:
            return True
        pause_ms = span_ms * (characters - text.rindex("|")) // SHARED_CHARACTERS
        is_due = (
            watermark_ms is None
            or self._moved_ms is None
            or watermark_ms >= self._moved_ms + pause_ms
        )
        return is_due and characters < MOST_CHARACTERS

    def _complete(self, position: Position) -> None:
        """Add the logs that the steps lack because other rules made them, as read up to now."""
        logs = {log for log, _ in position}
        for i, (offset, known) in enumerate(self.steps):
            known_logs = {log for log, _ in known}
            if known_logs != logs:
                kept: Mapping[tuple[str, int], int] = {
                    p: e for p, e in known.items() if p[0] in logs
                }
                new = {p: e for p, e in position.items() if p[0] not in known_logs}
                self.steps[i] = (offset, {**kept, **new})
