"""As of which position of the lookup topics each record of a source partition was joined.

A lookup topic is a log of its own, so what an event finds in it is no function of the event's log
alone. It is one of both logs and of these *steps*: from which offset of the source on records are
joined with lookups as of which position. Rules:

1. A record is joined as of a position that was read after it was fetched: what was written to the
   lookup topic before it is there.
2. Steps are committed before the frames that cover the records joined by them are sent, with the
   offset up to which they hold (`promised`). Whoever reads these records again joins them alike.
3. A commit has the steps from its offset on. They must fit its metadata, so where rows come fast
   some wait: half of the room is free; beyond it, a step waits for its share, by characters, of the
   event time that a commit lies back. A changed partition takes about ten characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.core.aggregate.columns import Ints
from agent.core.fold.lookup_topics import Position

MOST_CHARACTERS = 3_000
"""Of the text. A broker takes 4,096 for all of a commit's metadata (offset.metadata.max.bytes)."""
FREE_CHARACTERS = MOST_CHARACTERS // 2
SHARED_CHARACTERS = MOST_CHARACTERS * 3 // 4


@dataclass(slots=True)
class LookupSteps:
    """The steps of one source partition, as (offset from which on, position), ascending."""

    promised: int = 0
    steps: list[tuple[int, Position]] = field(default_factory=list)
    _moved_ms: int | None = None  # the watermark at the last step

    @property
    def logs(self) -> frozenset[str]:
        """The logs of lookup topics that records were joined with."""
        return frozenset(log for _, position in self.steps for log, _ in position)

    @classmethod
    def parse(cls, text: str) -> LookupSteps:
        """What `text` wrote. Raises ValueError for anything else."""
        if not text:
            return cls()
        promised, topics, *steps = text.split("|")
        names = topics.split(",")
        out = cls(int(promised))
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
        """The steps as part of a commit's metadata: what each adds to the one before."""
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
        return "|".join([str(self.promised), ",".join(names), *texts])

    def read(
        self, first: int, stop: int, position: Position, watermark_ms: int | None, span_ms: int
    ) -> None:
        """Join records of `[first, stop)` as of a position, those that nothing is promised of.

        `span_ms`: the event time that a commit lies back at most.
        """
        self._complete(position)
        begin = max(first, self.promised)
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
        """Whether the last step fits."""
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
        """Logs that the steps don't know, since other rules made them, are read up to now."""
        logs = {log for log, _ in position}
        for i, (offset, known) in enumerate(self.steps):
            of = {log for log, _ in known}
            if of != logs:
                kept: Mapping[tuple[str, int], int] = {
                    p: e for p, e in known.items() if p[0] in logs
                }
                new = {p: e for p, e in position.items() if p[0] not in of}
                self.steps[i] = (offset, {**kept, **new})
