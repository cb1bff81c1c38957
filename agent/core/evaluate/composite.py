"""Composite rules: and, or, not over the alerts of other rules.

Rules
-----
- The series of a composite rule have the dimensions that all rules it names share. For one of its
  series, a named rule is true while any series of that rule with these dimensions fires. Overrides
  apply per series.
- A series is evaluated at every instant at which one of these alerts changes, and exactly when
  `for` or `keep_firing_for` ends; at no other. So it makes no difference how often `advance` is
  called.
- Instants are evaluated in order, up to where event time is settled for all dependencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

from agent.core.evaluate.subscription import Subscription
from agent.core.evaluate.targets import MAX_CACHED_SERIES
from agent.core.evaluate.thresholds import Evaluation, OnEvaluation
from agent.core.evaluate.transitions import bound_of, due_changes, end_alerts
from agent.core.model.kpis import Dimensions
from agent.core.model.results import AlertPhase, SeriesView, Transition
from agent.core.model.rules import CompositeLevel, CompositeRule, variant_for
from agent.core.state import alert_state as alerts
from agent.core.state.series import Series


class CompositeState:
    """The series of a composite rule in one state partition."""

    def __init__(self, rule: CompositeRule, on_evaluation: OnEvaluation | None = None) -> None:
        self.rule = rule
        self.subscription = Subscription(rule.kpi, rule.dependencies)
        self.series: dict[Dimensions, Series] = {}
        self._changed: set[Dimensions] = set()  # series whose rows have to be written
        self._on_evaluation = on_evaluation
        self._due: dict[Dimensions, int] = {}
        self._begun = False
        # The rule for one series, with its overrides; None: it is not evaluated.
        self._rule_of = lru_cache(MAX_CACHED_SERIES)(partial(variant_for, rule, rule.by))

    def restore(self, series: Series) -> None:
        """Restore a series from its row."""
        self.series[series.dimensions or ()] = series

    def drop_undeclared(self, series: Series) -> list[Transition]:
        """Resolve the alerts of severities that are no longer declared."""
        rule = self._rule_of(series.dimensions or ())
        declared = {level.severity for level in rule.levels} if rule else set()
        states = series.alerts.get(self.rule.name, {})
        gone = [(self.rule.name, s, states.pop(s)) for s in list(states) if s not in declared]
        return end_alerts(self.rule.kpi, series.dimensions, series.evaluated_ms, gone)

    def advance(self, settled_ms: int) -> list[Transition]:
        """Evaluate up to an instant (ms), inclusive; the transitions in order of time."""
        out: list[Transition] = []
        if not self._begun:
            # A new or changed rule must react to alerts that fire already.
            self._begun = True
            for dimensions in {*self.series, *self.subscription.firing()}:
                self._schedule(dimensions)
                self._due.setdefault(dimensions, settled_ms)
        while True:
            instants = [
                i for i in (self.subscription.next_ms(), *self._due.values()) if i is not None
            ]
            at_ms = min(instants, default=settled_ms + 1)
            if at_ms > settled_ms:
                break
            due = {d for d, due_ms in self._due.items() if due_ms <= at_ms}
            due.update(change.shared for change in self.subscription.pop_until(at_ms))
            for dimensions in sorted(due, key=repr):
                out += self._evaluate(dimensions, at_ms)
        self.subscription.settle(settled_ms)
        return out

    def _evaluate(self, dimensions: Dimensions, at_ms: int) -> list[Transition]:
        """Evaluate one series at an instant, and schedule its next evaluation."""
        self._due.pop(dimensions, None)
        rule = self._rule_of(dimensions)
        if rule is None:
            return []
        firing = [self.subscription.fires(i, dimensions) for i in range(len(rule.dependencies))]
        series = self.series.get(dimensions)
        if series is None:
            if not any(level.when.holds(firing) for level in rule.levels):
                return []
            series = Series.new(rule.kpi, "", dimensions, at_ms)
            series.evaluated(at_ms - 1)
            self.series[dimensions] = series
        out: list[Transition] = []
        if at_ms > series.evaluated_ms:  # otherwise it was evaluated before a restart
            changed_ms = series.evaluated_ms
            for level in rule.levels:
                before = series.alert(rule.name, level.severity)
                out += self._evaluate_level(rule, level, firing, series, at_ms)
                if series.alert(rule.name, level.severity) != before:
                    changed_ms = at_ms
                    self._changed.add(dimensions)
            series.step(changed_ms)
        self._schedule(dimensions)
        return out

    def _evaluate_level(
        self,
        rule: CompositeRule,
        level: CompositeLevel,
        firing: Sequence[bool],
        series: Series,
        at_ms: int,
    ) -> list[Transition]:
        """Evaluate one level for a series, and change its alert. `firing`: for each dependency,
        whether it fires."""
        before = series.alert(rule.name, level.severity)
        holds = level.when.holds(firing)
        clears = not holds if level.clear is None else level.clear.holds(firing)
        after, change = alerts.step(
            before, at_ms, holds, clears, rule.for_ms, rule.keep_firing_for_ms, rule.flapping
        )
        series.set_alerts(rule.name, {level.severity: after})
        if self._on_evaluation is not None:
            self._on_evaluation(
                Evaluation(rule, level.severity, None, at_ms, holds, clears, before, after)
            )
        if change is None:
            return []
        since_ms = at_ms if after.episode_ms is None else after.episode_ms
        transition = Transition(
            rule=rule.name,
            severity=level.severity,
            kpi=rule.kpi,
            dimensions=series.dimensions or (),
            at_ms=at_ms,
            episode_ms=since_ms,
            state=change.phase,
            previous=change.previous,
            value=None,
            bound=bound_of(level, change.phase),
            start_ms=since_ms,
            end_ms=at_ms,
            reason=change.reason,
            flaps=after.flapping(change.phase, rule.flapping),
        )
        return [transition]

    def _schedule(self, dimensions: Dimensions) -> None:
        """Schedule the evaluation at the end of `for` or `keep_firing_for` of a series' alert."""
        series = self.series.get(dimensions)
        rule = self._rule_of(dimensions)
        if series is None or rule is None:
            return
        due_ms = min(due_changes(rule, series), default=None)
        if due_ms is not None:
            self._due[dimensions] = due_ms

    def drain_changed(self) -> set[Dimensions]:
        """The series whose rows changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def expire(self, settled_ms: int) -> list[Dimensions]:
        """Drop the series for which nothing has fired for `expire_after_ms`, and return them."""
        oldest = settled_ms - self.rule.expire_after_ms
        firing = self.subscription.firing()
        old = [
            dimensions
            for dimensions, series in self.series.items()
            if series.evaluated_ms < oldest
            and dimensions not in firing
            and dimensions not in self._due
        ]
        for dimensions in old:
            del self.series[dimensions]
        return old

    def view(self, series: Series) -> SeriesView:
        """A series as the board shows it: its phases."""
        shown = series.reported.get(self.rule.name, {})
        phases = {}
        rule = self._rule_of(series.dimensions or ())
        for level in rule.levels if rule else ():
            phase = series.alert(self.rule.name, level.severity).phase
            if self.rule.depends_on:
                published = shown.get(level.severity)
                phase = published.state if published else AlertPhase.INACTIVE
            phases[self.rule.name, level.severity] = phase
        return SeriesView(self.rule.kpi, series.dimensions, None, None, None, None, phases=phases)
