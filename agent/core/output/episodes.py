"""Episodes: what became of alerts over a stretch of time, put together from their steps.

An episode begins with its alert pending (or firing at once), fires, and is resolved. One that never
fired is none; how many there were is published apart, as they are what `for` held back.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, Emitted, Transition
from agent.core.model.rules import Severity

WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert from the begin of its pending to its end (`resolved_ms` None: it still fires). One
    that is inhibited by what it depends on has ended, too.

    `peak` is the value farthest from what is usual for the series while the episode lasted; None
    for a silence.
    """

    rule: str
    severity: Severity
    kpi: str
    dimensions: Dimensions
    began_ms: int
    fired_ms: int
    resolved_ms: int | None = None
    peak: float | None = None

    def overlaps(self, other: Episode) -> bool:
        """Whether two episodes of one alert are about the same time, from pending to the end."""
        return (
            self.alert == other.alert
            and self.began_ms <= (other.resolved_ms or math.inf)
            and other.began_ms <= (self.resolved_ms or math.inf)
        )

    @property
    def alert(self) -> tuple[str, str, Dimensions]:
        """Whose episode it is."""
        return self.rule, self.severity, self.dimensions


@dataclass(slots=True)
class Values:
    """The closed values of one series: ends (ms) and values (NaN: none), in the order of ends."""

    ends: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, end_ms: int, value: float | None) -> None:
        """Add the next window."""
        self.ends.append(end_ms)
        self.values.append(math.nan if value is None else value)

    def between(self, first_ms: int, last_ms: int) -> list[tuple[int, float]]:
        """The windows that end in `[first_ms, last_ms]` and have a value."""
        start, stop = bisect_left(self.ends, first_ms), bisect_left(self.ends, last_ms + 1)
        pairs = zip(self.ends[start:stop], self.values[start:stop], strict=True)
        return [(end, value) for end, value in pairs if not math.isnan(value)]

    def usual(self) -> float:
        """The median of all values; NaN where there is none."""
        known = [value for value in self.values if not math.isnan(value)]
        return median(known) if known else math.nan


@dataclass(slots=True)
class Record:
    """Takes in what closes, and keeps what episodes and their charts need: of the KPIs that rules
    watch, 16 bytes a window."""

    plan: Plan
    values: dict[tuple[str, Dimensions], Values] = field(default_factory=dict)
    steps: list[Transition] = field(default_factory=list)
    first_ms: int | None = None
    last_ms: int | None = None

    def add(self, emitted: Emitted) -> None:
        """Take in what closed next; windows of a series in the order of their ends."""
        watched = {rule.kpi for rule in self.plan.rules.values()}
        for window in emitted.windows:
            if self.first_ms is None or window.start_ms < self.first_ms:
                self.first_ms = window.start_ms
            if self.last_ms is None or window.end_ms > self.last_ms:
                self.last_ms = window.end_ms
            if window.kpi in watched:
                series = self.values.setdefault((window.kpi, window.dimensions), Values())
                series.add(window.end_ms, window.value)
        self.steps += emitted.transitions


@dataclass(frozen=True, slots=True)
class AlertHistory:
    """The episodes that fired in `[since_ms, until_ms]`, in the order of their firing, and by rule
    how many alerts began there but never fired."""

    plan: Plan
    since_ms: int
    until_ms: int
    episodes: tuple[Episode, ...]
    held_back: Counter[str]
    values: dict[tuple[str, Dimensions], Values]

    @property
    def weeks(self) -> float:
        """How long the stretch is."""
        return max(self.until_ms - self.since_ms, 1) / WEEK_MS

    def of_rule(self, rule: str) -> tuple[Episode, ...]:
        """The episodes of one rule."""
        return tuple(e for e in self.episodes if e.rule == rule)


def alert_history(
    record: Record, since_ms: int | None = None, until_ms: int | None = None
) -> AlertHistory:
    """The episodes of what was recorded; without bounds, of all the time that windows closed in.

    Nothing that came after `until_ms` counts: an alert that fires then still fires.
    """
    since = since_ms if since_ms is not None else record.first_ms or 0
    until = until_ms if until_ms is not None else (record.last_ms or since)
    steps = sorted((t for t in record.steps if t.at_ms <= until), key=lambda t: t.at_ms)
    episodes, held_back = _episodes(steps, since)
    # Rules on current values fire on windows that are still open: the steps have their values.
    stepped: dict[tuple[str, str, Dimensions], list[tuple[int, float]]] = defaultdict(list)
    for step in steps:
        if step.value is not None:
            stepped[step.rule, step.severity, step.dimensions].append((step.at_ms, step.value))
    usual = {key: series.usual() for key, series in record.values.items()}
    published = []
    for episode in episodes:
        series = record.values.get((episode.kpi, episode.dimensions), Values())
        last = until if episode.resolved_ms is None else episode.resolved_ms - 1
        seen = [value for _, value in series.between(episode.began_ms, last)]
        seen += [v for at, v in stepped[episode.alert] if episode.began_ms <= at <= last]
        middle = usual.get((episode.kpi, episode.dimensions), 0.0)
        peak = max(seen, key=lambda value: abs(value - middle), default=None)
        published.append(replace(episode, peak=peak))
    return AlertHistory(record.plan, since, until, tuple(published), held_back, record.values)


def _episodes(steps: Sequence[Transition], since_ms: int) -> tuple[list[Episode], Counter[str]]:
    """The episodes that fire from `since_ms` on, and by rule how many alerts never fired."""
    running: dict[tuple[str, str, Dimensions], Episode] = {}
    done: list[Episode] = []
    held_back: Counter[str] = Counter()
    for step in steps:
        key = (step.rule, step.severity, step.dimensions)
        if step.state is AlertPhase.FIRING:
            running[key] = Episode(
                step.rule, step.severity, step.kpi, step.dimensions, step.episode_ms, step.at_ms
            )
        elif step.state in (AlertPhase.RESOLVED, AlertPhase.INHIBITED) and key in running:
            done.append(replace(running.pop(key), resolved_ms=step.at_ms))
        elif step.state is AlertPhase.INACTIVE and step.at_ms >= since_ms:
            held_back[step.rule] += 1
    fired = [e for e in (*done, *running.values()) if e.fired_ms >= since_ms]
    return sorted(fired, key=lambda e: (e.fired_ms, e.rule, e.severity)), held_back


@dataclass(frozen=True, slots=True)
class Versus:
    """Two sets of rules over the same time: the episodes that only the new one has, those that it
    has no more, and those that both have (before, after)."""

    gained: tuple[Episode, ...]
    lost: tuple[Episode, ...]
    kept: tuple[tuple[Episode, Episode], ...]


def versus(before: AlertHistory, after: AlertHistory) -> Versus:
    """What a change of the rules does to the episodes. Two of one alert (rule, severity, series)
    that are about the same time are the same; an episode is matched at most once."""
    left = list(before.episodes)
    gained, kept = [], []
    for episode in after.episodes:
        same = next((other for other in left if episode.overlaps(other)), None)
        if same is None:
            gained.append(episode)
        else:
            left.remove(same)
            kept.append((same, episode))
    return Versus(tuple(gained), tuple(left), tuple(kept))
