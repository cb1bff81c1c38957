"""Episodes: the alerts of a period of time, each combined from its transitions.

An episode begins with its alert pending (or firing at once), fires, and is resolved. Alerts that
never fired are no episodes; they are counted (`held_back`), since `for` held them back.
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
    """An alert from the start of its pending phase to its end (`resolved_ms` None: it still fires).
    An episode also ends when the alert is inhibited by what its rule depends on.

    `peak` is the value during the episode that is farthest from the median of the series; None for
    an absence rule.
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
        """Whether two episodes are of one alert and overlap in time, from pending to the end."""
        return (
            self.alert == other.alert
            and self.began_ms <= (other.resolved_ms or math.inf)
            and other.began_ms <= (self.resolved_ms or math.inf)
        )

    @property
    def alert(self) -> tuple[str, str, Dimensions]:
        """The alert that the episode is of: rule, severity and series."""
        return self.rule, self.severity, self.dimensions


@dataclass(slots=True)
class SeriesValues:
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

    def median(self) -> float:
        """The median of all values; NaN if there is none."""
        known = [value for value in self.values if not math.isnan(value)]
        return median(known) if known else math.nan


@dataclass(slots=True)
class AlertRecorder:
    """Collects what episodes and their charts need from results: transitions, and the windows of
    the KPIs that have rules (16 bytes per window)."""

    plan: Plan
    values: dict[tuple[str, Dimensions], SeriesValues] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    first_ms: int | None = None
    last_ms: int | None = None

    def add(self, emitted: Emitted) -> None:
        """Add the next results; windows of a series in the order of their ends."""
        watched = {rule.kpi for rule in self.plan.rules.values()}
        for window in emitted.windows:
            if self.first_ms is None or window.start_ms < self.first_ms:
                self.first_ms = window.start_ms
            if self.last_ms is None or window.end_ms > self.last_ms:
                self.last_ms = window.end_ms
            if window.kpi in watched:
                series = self.values.setdefault((window.kpi, window.dimensions), SeriesValues())
                series.add(window.end_ms, window.value)
        self.transitions += emitted.transitions


@dataclass(frozen=True, slots=True)
class AlertHistory:
    """The episodes that fired in `[since_ms, until_ms]`, in the order of their firing, and by rule
    how many alerts began there but never fired."""

    plan: Plan
    since_ms: int
    until_ms: int
    episodes: tuple[Episode, ...]
    held_back: Counter[str]
    values: dict[tuple[str, Dimensions], SeriesValues]

    @property
    def weeks(self) -> float:
        """The length of the period."""
        return max(self.until_ms - self.since_ms, 1) / WEEK_MS

    def of_rule(self, rule: str) -> tuple[Episode, ...]:
        """The episodes of one rule."""
        return tuple(e for e in self.episodes if e.rule == rule)


def alert_history(
    recorder: AlertRecorder, since_ms: int | None = None, until_ms: int | None = None
) -> AlertHistory:
    """The episodes of the recorded results; without bounds, from the start of the first closed
    window to the end of the last one.

    Transitions after `until_ms` are ignored: an alert that fires at that time is still firing.
    """
    since = since_ms if since_ms is not None else recorder.first_ms or 0
    until = until_ms if until_ms is not None else (recorder.last_ms or since)
    transitions = sorted(
        (t for t in recorder.transitions if t.at_ms <= until), key=lambda t: t.at_ms
    )
    episodes, held_back = _episodes(transitions, since)
    # Rules on current values fire on open windows, whose values only the transitions have.
    open_values: dict[tuple[str, str, Dimensions], list[tuple[int, float]]] = defaultdict(list)
    for t in transitions:
        if t.value is not None:
            open_values[t.rule, t.severity, t.dimensions].append((t.at_ms, t.value))
    medians = {key: series.median() for key, series in recorder.values.items()}
    with_peaks = []
    for episode in episodes:
        series = recorder.values.get((episode.kpi, episode.dimensions), SeriesValues())
        last = until if episode.resolved_ms is None else episode.resolved_ms - 1
        seen = [value for _, value in series.between(episode.began_ms, last)]
        seen += [v for at, v in open_values[episode.alert] if episode.began_ms <= at <= last]
        middle = medians.get((episode.kpi, episode.dimensions), 0.0)
        peak = max(seen, key=lambda value: abs(value - middle), default=None)
        with_peaks.append(replace(episode, peak=peak))
    return AlertHistory(recorder.plan, since, until, tuple(with_peaks), held_back, recorder.values)


def _episodes(
    transitions: Sequence[Transition], since_ms: int
) -> tuple[list[Episode], Counter[str]]:
    """The episodes that fire from `since_ms` on, and by rule how many alerts never fired."""
    running: dict[tuple[str, str, Dimensions], Episode] = {}
    done: list[Episode] = []
    held_back: Counter[str] = Counter()
    for t in transitions:
        key = (t.rule, t.severity, t.dimensions)
        if t.state is AlertPhase.FIRING:
            running[key] = Episode(t.rule, t.severity, t.kpi, t.dimensions, t.episode_ms, t.at_ms)
        elif t.state in (AlertPhase.RESOLVED, AlertPhase.INHIBITED) and key in running:
            done.append(replace(running.pop(key), resolved_ms=t.at_ms))
        elif t.state is AlertPhase.INACTIVE and t.at_ms >= since_ms:
            held_back[t.rule] += 1
    fired = [e for e in (*done, *running.values()) if e.fired_ms >= since_ms]
    return sorted(fired, key=lambda e: (e.fired_ms, e.rule, e.severity)), held_back


@dataclass(frozen=True, slots=True)
class EpisodeChanges:
    """The episodes of two sets of rules over the same time, compared: those of the new rules only
    (`gained`), those of the old rules only (`lost`), and those of both (before, after)."""

    gained: tuple[Episode, ...]
    lost: tuple[Episode, ...]
    kept: tuple[tuple[Episode, Episode], ...]


def compare_episodes(before: AlertHistory, after: AlertHistory) -> EpisodeChanges:
    """What a change of the rules does to the episodes. Two episodes of one alert (rule, severity,
    series) that overlap in time count as the same; each is matched at most once."""
    left = list(before.episodes)
    gained, kept = [], []
    for episode in after.episodes:
        same = next((other for other in left if episode.overlaps(other)), None)
        if same is None:
            gained.append(episode)
        else:
            left.remove(same)
            kept.append((same, episode))
    return EpisodeChanges(tuple(gained), tuple(left), tuple(kept))
