"""Combination rules: and, or, not over the alerts of other rules.

Rules
-----
- A series of the combination is what the heeded series share; a rule counts as true for it while
  any of its series with those dimensions fires.
- It is judged at every instant at which one of them changes, and exactly when `for` or
  `keep_firing_for` is over; never at others. So when it is called makes no difference.
- Instants come in order, up to where event time is settled for all that it looks at.
"""

from __future__ import annotations

from agent.core import alerts
from agent.core.alerts import AlertState
from agent.core.hearing import Hearing
from agent.core.plan import CombinationRule, CombinedLevel, Dimensions
from agent.core.results import AlertPhase, SeriesView, Transition
from agent.core.rules import ended
from agent.core.series import Series, born


class Combination:
    """A combination rule's series in one state partition."""

    def __init__(self, rule: CombinationRule) -> None:
        self.rule = rule
        self.hearing = Hearing(rule.heeds)
        self.series: dict[Dimensions, Series] = {}
        self.changed: set[Dimensions] = set()  # series whose row is old
        self._due: dict[Dimensions, int] = {}
        self._begun = False

    def restore(self, series: Series) -> None:
        """Take on a series from its row."""
        self.series[series.dimensions or ()] = series

    def drop_undeclared(self, series: Series) -> list[Transition]:
        """End the alerts of severities that are declared no more."""
        declared = {level.severity for level in self.rule.levels}
        states = series.alerts.get(self.rule.name, {})
        gone = [(self.rule.name, s, states.pop(s)) for s in list(states) if s not in declared]
        return ended(self.rule.kpi, series.dimensions, series.judged_ms, gone)

    def advance(self, known_ms: int) -> list[Transition]:
        """Judge up to an instant (ms), inclusive; the transitions in order of time."""
        out: list[Transition] = []
        if not self._begun:
            # A rule that is new, or reads otherwise than before, begins with what fires already.
            self._begun = True
            for dimensions in {*self.series, *self.hearing.shared()}:
                self._plan(dimensions)
                self._due.setdefault(dimensions, known_ms)
        while True:
            instants = [i for i in (self.hearing.next_ms(), *self._due.values()) if i is not None]
            at_ms = min(instants, default=known_ms + 1)
            if at_ms > known_ms:
                break
            touched = {d for d, due_ms in self._due.items() if due_ms <= at_ms}
            touched.update(shared for _, shared in self.hearing.take(at_ms))
            for dimensions in sorted(touched, key=repr):
                out += self._judge(dimensions, at_ms)
        self.hearing.known_ms = known_ms
        return out

    def _judge(self, dimensions: Dimensions, at_ms: int) -> list[Transition]:
        """Judge one series at an instant, and note when it must be judged again."""
        self._due.pop(dimensions, None)
        rule = self.rule
        firing = [self.hearing.fires(i, dimensions) for i in range(len(rule.heeds))]
        series = self.series.get(dimensions)
        if series is None:
            if not any(level.when.holds(firing) for level in rule.levels):
                return []
            series = born(rule.kpi, "", dimensions, at_ms)
            series.judged_ms = at_ms - 1
            self.series[dimensions] = series
        out: list[Transition] = []
        if at_ms > series.judged_ms:  # else it was, before a restart
            states = series.alerts.setdefault(rule.name, {})
            for level in rule.levels:
                holds = level.when.holds(firing)
                before = states.get(level.severity, alerts.INACTIVE)
                after, changes = alerts.step(
                    before, at_ms, holds, not holds, rule.for_ms, rule.keep_firing_for_ms
                )
                states[level.severity] = after
                if after != before:
                    series.judged_ms = at_ms
                    self.changed.add(dimensions)
                since_ms = at_ms if after.episode_ms is None else after.episode_ms
                out += [
                    Transition(
                        rule.name, level.severity, rule.kpi, dimensions, at_ms, since_ms, phase,
                        previous, None, _bound(level, phase), since_ms, at_ms, reason,
                    )
                    for previous, phase, reason in changes
                ]  # fmt: skip
            series.last_event_ms = series.closed_ms = series.judged_ms
        self._plan(dimensions)
        return out

    def _plan(self, dimensions: Dimensions) -> None:
        """Note when a span of one of the series' alerts is over."""
        series = self.series.get(dimensions)
        states = series.alerts.get(self.rule.name, {}).values() if series else ()
        due = [end for state in states if (end := self._end_ms(state)) is not None]
        if due:
            self._due[dimensions] = min(due)

    def _end_ms(self, state: AlertState) -> int | None:
        if state.phase is AlertPhase.PENDING and state.episode_ms is not None:
            return state.episode_ms + self.rule.for_ms
        if state.phase is AlertPhase.FIRING and state.clearing_since_ms is not None:
            return state.clearing_since_ms + self.rule.keep_firing_for_ms
        return None

    def expired(self, known_ms: int) -> list[Dimensions]:
        """Forget the series of which nothing fires any more, and has not for long; which."""
        oldest = known_ms - self.rule.expire_after_ms
        firing = self.hearing.shared()
        old = [
            dimensions
            for dimensions, series in self.series.items()
            if series.judged_ms < oldest
            and dimensions not in firing
            and dimensions not in self._due
        ]
        for dimensions in old:
            del self.series[dimensions]
        return old

    def view(self, series: Series) -> SeriesView:
        """What a board sees of a series: its phases."""
        states = series.alerts.get(self.rule.name, {})
        shown = series.shown.get(self.rule.name, {})
        phases = {}
        for level in self.rule.levels:
            phase = states.get(level.severity, alerts.INACTIVE).phase
            if self.rule.depends_on:
                told = shown.get(level.severity)
                phase = told.state if told else AlertPhase.INACTIVE
            phases[self.rule.name, level.severity] = phase
        return SeriesView(self.rule.kpi, series.dimensions, None, None, None, None, phases=phases)


def _bound(level: CombinedLevel, phase: AlertPhase) -> str:
    return f"not ({level.when_sql})" if phase is AlertPhase.RESOLVED else level.when_sql
