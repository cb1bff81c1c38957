"""Absence, composite rules and `depends_on`, as docs/rules says: when each alert changes.

Alerts are steps (instant in ms, phase); where they fire is a list of intervals `[from, until)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .alert_truth import Series, Steps

Intervals = list[tuple[float, float]]


def firing(steps: Steps) -> Intervals:
    """When an alert fires."""
    intervals: Intervals = []
    since: float | None = None
    for at, phase in steps:
        if phase == "firing" and since is None:
            since = at
        elif phase != "firing" and since is not None:
            intervals.append((since, at))
            since = None
    return intervals if since is None else [*intervals, (since, math.inf)]


def missed(series: Series, at_least: float) -> Intervals:
    """When the last closed window of a series misses its target."""
    steps = [
        (w.end, "firing" if w.known is not None and w.known < at_least else "inactive")
        for w in series.windows
    ]
    return firing(steps)


def union(intervals: Iterable[tuple[float, float]]) -> Intervals:
    """Intervals that neither overlap nor touch."""
    merged: Intervals = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def within(intervals: Intervals, at: float) -> bool:
    return any(start <= at < end for start, end in intervals)


@dataclass(frozen=True, slots=True)
class Absence:
    """An absence rule; times in ms, `flapping` as times and time."""

    no_data_for: int
    keep: int = 0
    min_history: int = 0
    flapping: tuple[int, int] | None = None


def absence(rule: Absence, events: Sequence[int], slice_ms: int, calm: Intervals) -> Steps:
    """The alert of a series (or KPI) with events at these instants. `calm`: its maintenance."""
    slices = sorted({at // slice_ms * slice_ms for at in events})
    steps: Steps = []
    is_firing, clearing, fired = False, None, []
    for start, following in zip(slices, [*slices[1:], math.inf], strict=True):
        if is_firing and clearing is None:
            clearing = start
        old_enough = slices[0] + rule.min_history if rule.min_history else 0
        fires = max(_outside(calm, start + slice_ms, rule.no_data_for), old_enough)
        if clearing is not None:
            keep = rule.keep
            if rule.flapping is not None:
                lately = sum(at >= clearing - rule.flapping[1] for at in fired)
                keep = max(keep, rule.flapping[1]) if lately >= rule.flapping[0] else keep
            # An event in maintenance ends an absence at once.
            ends = _outside(calm, clearing, keep) if keep else clearing
            if ends <= min(following, fires):
                steps.append((ends, "resolved"))
                is_firing, clearing = False, None
        if fires < following:
            clearing = None
            if not is_firing:
                is_firing = True
                fired.append(fires)
                steps.append((fires, "firing"))
    return steps


def _outside(calm: Intervals, at: int, length: int) -> int:
    """The instant at which so much time outside of maintenance has passed."""
    for start, end in sorted(calm):
        if end > at and start < at + length:
            length -= max(0, int(start) - at)
            at = int(end)
    return at + length


def inhibited(steps: Steps, feed: Intervals, series: Series | None) -> Steps:
    """What is published of an alert while a feed is missing. `series`: that of a rule on windows,
    which stay unreliable until one closes that began after the feed was back."""
    held: Intervals = []
    for start, end in union(feed):
        until = end
        if series is not None:
            until = next((w.end for w in series.windows if w.start >= end), math.inf)
        held.append((start, until))
    held = union(held)
    own: dict[float, str] = dict(steps)
    phase = published = "inactive"
    out: Steps = []
    for at in sorted({*own, *(at for pair in held for at in pair if at < math.inf)}):
        phase = own.get(at, phase)
        now = "inhibited" if phase == "firing" and within(held, at) else phase
        if now != published:
            published = now
            out.append((int(at), now))
    return out


@dataclass(frozen=True, slots=True)
class Composite:
    """A composite rule: its conditions are functions of an instant."""

    when: Callable[[float], bool]
    clear: Callable[[float], bool]
    hold: int = 0
    keep: int = 0


def composite(rule: Composite, instants: Iterable[float]) -> Steps:
    """The alert of a composite rule whose inputs change at these instants."""
    steps: Steps = []
    phase, since, clearing = "inactive", 0.0, math.inf

    def change(at: float, to: str) -> None:
        nonlocal phase
        phase = to
        steps.append((int(at), to))

    for at in [*sorted(set(instants)), math.inf]:
        if phase == "pending" and since + rule.hold < at:
            change(since + rule.hold, "firing")
        if phase == "firing" and clearing + rule.keep < at:
            change(clearing + rule.keep, "resolved")
        if at == math.inf:
            break
        when, clear = rule.when(at), rule.clear(at)
        if phase in ("inactive", "resolved") and when:
            since, clearing = at, math.inf
            change(at, "pending" if rule.hold else "firing")
        elif phase == "pending" and not when:
            change(at, "inactive")
        elif phase == "pending" and at - since >= rule.hold:
            clearing = math.inf
            change(at, "firing")
        elif phase == "firing":
            clearing = math.inf if when or not clear else min(clearing, at)
            if at - clearing >= rule.keep:
                change(at, "resolved")
    return steps
