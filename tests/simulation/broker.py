"""What survives every crash of a worker: logs, committed offsets, the changelog, what was
published."""

from __future__ import annotations

import bisect
import random
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from agent.core.fold.folder import Commit, Resume
from agent.core.model.results import AlertPhase, Emitted, Outcome, Transition, WindowValue
from agent.kafka.state_table import known_rows
from tests.core.simulated import same
from tests.simulation.history import History, Key, Record

Published = WindowValue | Transition
ALWAYS: Mapping[str, int] = {}


Write = tuple[bytes, int, bytes | None]
"""A row's key, the position that it is true for, and the row; None deletes."""


@dataclass
class Disk:
    """What a worker finds again after its death, by state partition: rows, and the offset of the
    changelog that they reach."""

    rows: dict[int, dict[bytes, tuple[int, bytes]]] = field(default_factory=dict)
    known: dict[int, int | None] = field(default_factory=dict)

    def recovered(self, partition: int, changelog: list[Write]) -> list[tuple[bytes, bytes]]:
        """Read the changelog on to its end; all rows."""
        known = self.known.get(partition)
        for write in changelog[0 if known is None else known + 1 :]:
            self._take(partition, write)
        self.known[partition] = len(changelog) - 1 if changelog else None
        return [(key, row) for key, (_, row) in self.rows.get(partition, {}).items()]

    def keep(self, partition: int, written: list[tuple[int, Write]]) -> None:
        """Take on what this worker wrote at these offsets, as far as nobody else did."""
        offsets = [offset for offset, _ in written]
        count, self.known[partition] = known_rows(self.known.get(partition), offsets)
        for _, write in written[:count]:
            self._take(partition, write)

    def _take(self, partition: int, write: Write) -> None:
        rows = self.rows.setdefault(partition, {})
        key, position, row = write
        if row is None:
            rows.pop(key, None)
        elif position >= rows.get(key, (-1, b""))[0]:
            rows[key] = (position, row)


@dataclass
class Broker:
    """The brokers, and the outside that reads what was published. The clock is `now_ms`.

    A source's log holds its history from `bases` on: what came before was deleted with an earlier
    topic of this name. Offsets count from there; the log's first is in `starts`."""

    history: History
    state_partitions: int
    now_ms: int
    places: list[tuple[str, int]]  # the topic and partition of each source
    frames: list[list[bytes]] = field(default_factory=list)
    commits: dict[int, Commit] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    changelog: list[list[Write]] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    late_partials: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    # Up to where a past was adopted, by KPI and state partition.
    handoffs: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.frames = [[] for _ in range(self.state_partitions)]
        self.changelog = [[] for _ in range(self.state_partitions)]
        self.starts = [0 for _ in self.history.logs]
        self.bases = [0 for _ in self.history.logs]
        self.creations: Counter[str] = Counter()  # by topic, those after the first
        self.gone: list[Record] = []  # deleted, perhaps before they were read
        self._arrivals = [[r.appended_ms for r in log] for log in self.history.logs]

    def partitions(self, now_ms: int) -> int:
        """How many source partitions there are."""
        there = len(self.history.logs)
        return there - 1 if there > 1 and now_ms < self.history.added_ms else there

    def end(self, partition: int, now_ms: int) -> int:
        """The end of a source partition's log."""
        return bisect.bisect_right(self._arrivals[partition], now_ms) - self.bases[partition]

    def read(self, partition: int, begin: int, end: int) -> list[Record]:
        """Records of a source partition's log."""
        base = self.bases[partition]
        return self.history.logs[partition][base + begin : base + end]

    def topic_id(self, partition: int) -> str:
        """The id of a source partition's topic."""
        return self.id_of(self.places[partition][0])

    def id_of(self, topic: str) -> str:
        """The id of a topic."""
        return f"{topic}-{self.creations[topic]}"

    @property
    def has_gaps(self) -> bool:
        """Whether any record may have been deleted."""
        return any(self.starts) or bool(self.creations)

    def delete_before(self, partition: int, offset: int) -> None:
        """Retention deletes the beginning of a source partition's log."""
        self.gone += self.read(partition, self.starts[partition], offset)
        self.starts[partition] = max(self.starts[partition], offset)

    def create_again(self, topic: str, rng: random.Random) -> None:
        """A topic is deleted, with what it holds, and created under its name. The group's commits
        go with it, but for one that was under way."""
        for p, (of, _) in enumerate(self.places):
            if of == topic:
                end, covered = self.end(p, self.now_ms), 0
                if (commit := self.commits.get(p)) is not None:
                    resume = Resume.parse(commit.offset, commit.metadata)
                    # The log may be gone for which a commit was made.
                    covered = resume.covered if resume.topic_id == self.topic_id(p) else 0
                self.gone += self.read(p, covered, end)
                if rng.random() < 0.5:
                    self.commits.pop(p, None)
                self.bases[p] += end
                self.starts[p] = 0
        self.creations[topic] += 1

    def incomplete(self) -> set[Key]:
        """The closed windows that are marked: they may lack records."""
        return {
            (w.kpi, w.dimensions, w.end_ms)  # type: ignore[misc]
            for w in self.published
            if isinstance(w, WindowValue) and w.incomplete
        }

    def windows(
        self, since_ms: Mapping[str, int] = ALWAYS, again: Collection[str] = ()
    ) -> dict[Key, tuple[float | None, int]]:
        """Every closed window once; a repeat must say the same, but for the KPIs in `again`.
        `since_ms`: by KPI, when the first windows begin."""
        windows: dict[Key, tuple[float | None, int]] = {}
        for w in self.published:
            if isinstance(w, WindowValue) and w.start_ms >= since_ms.get(w.kpi, 0):
                value = (w.value, w.events)
                key: Key = (w.kpi, w.dimensions, w.end_ms)  # type: ignore[assignment]
                if w.kpi in again:
                    windows[key] = value
                known = windows.setdefault(key, value)
                assert same(known, value), f"published differently: {w} and before {known}"
        return windows

    def transitions(
        self, but: Collection[str] = ()
    ) -> dict[tuple[object, ...], tuple[object, ...]]:
        """Every transition once, by its key; a repeat must say the same. `but`: not of these
        rules."""
        transitions: dict[tuple[object, ...], tuple[object, ...]] = {}
        for t in self.published:
            if isinstance(t, Transition) and t.rule not in but:
                silence = AlertPhase.INHIBITED in (t.state, t.previous)
                key: tuple[object, ...] = (t.rule, t.severity, t.dimensions, t.episode_ms)
                key += (t.state.value, t.at_ms if silence else None)
                said = (t.at_ms, t.previous.value, t.value, t.start_ms, t.end_ms, t.reason)
                known = transitions.setdefault(key, said)
                assert known == said, f"published differently: {key} {said} and before {known}"
        return transitions


def items(emitted: list[Emitted], rng: random.Random) -> list[Published]:
    """What some results hold, in an order that the network may give them."""
    published: list[Published] = [t for c in emitted for t in (*c.windows, *c.transitions)]
    rng.shuffle(published)
    return published
