"""Stage 1 over several topics, as one: its sources have numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np

from agent.core.decode.batch import Batch
from agent.core.fold.checkpoint import SourceProgress
from agent.core.fold.folder import Commit, Folder, FoldResult, Resume
from agent.core.model.plan import Plan

Place = tuple[str, int]
"""The topic and the partition of a source."""

Record = tuple[int, int, int, bytes]
"""The number of its source, its offset, when the broker got it (ms), and its value."""


class Folders:
    """A folder for each topic; `places` says what the sources are, by number."""

    def __init__(self, plan: Plan, state_partitions: int, places: Sequence[Place]) -> None:
        self.places = places
        self._folders = {t: Folder(plan, t, state_partitions) for t in sorted(dict(places))}

    def __getitem__(self, topic: str) -> Folder:
        return self._folders[topic]

    def assign(self, source: int, resume: Resume | None) -> None:
        """Take on a source."""
        topic, partition = self.places[source]
        self._folders[topic].assign(partition, resume)

    def revoke(self, source: int) -> None:
        """Forget a source."""
        topic, partition = self.places[source]
        self._folders[topic].revoke(partition)

    def source(self, source: int) -> SourceProgress:
        """How far a source is read."""
        topic, partition = self.places[source]
        return self._folders[topic].sources[partition]

    def add(self, records: Sequence[Record]) -> list[FoldResult]:
        """Fold records, those of each topic as one batch."""
        placed = sorted(
            ((*self.places[source], *rest) for source, *rest in records), key=itemgetter(0, 1)
        )
        return [
            self._folders[topic].add(batch_of_places(topic, [r[1:] for r in group]))
            for topic, group in groupby(placed, key=itemgetter(0))
        ]

    def flush(
        self, clock_ms: int, idle_ms: Mapping[int, int | None], sources: int
    ) -> list[tuple[int, bytes]]:
        """The frames of all topics, of which the first so many sources are there."""
        there = Counter(topic for topic, _ in self.places[:sources])
        quiet = {self.places[source]: ms for source, ms in idle_ms.items()}
        frames = []
        for topic, folder in self._folders.items():
            own = {p: ms for (of, p), ms in quiet.items() if of == topic}
            frames += folder.flush(clock_ms, own, there[topic], there)
        return frames

    def commits(self) -> dict[int, Commit]:
        """What may be committed, by the number of the source."""
        numbers = {place: number for number, place in enumerate(self.places)}
        return {
            numbers[topic, partition]: commit
            for topic, folder in self._folders.items()
            for partition, commit in folder.commits().items()
        }


def batch_of_places(topic: str, records: Sequence[tuple[int, int, int, bytes]]) -> Batch:
    """Records of one topic: partition, offset, timestamp and value."""
    partitions, offsets, times, values = zip(*records, strict=True)
    return Batch(
        topic,
        values,
        np.array(partitions, np.int32),
        np.array(offsets, np.int64),
        np.array(times, np.int64),
    )
