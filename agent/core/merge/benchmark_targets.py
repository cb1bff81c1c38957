"""Targets that are the values of other KPIs: evaluates windows once the benchmarks closed theirs.

A KPI with such a target closes its windows like any other, but keeps them
(`Series.pending_evaluation`) until all its benchmarks have closed the same windows. Then they are
evaluated with the benchmarks' values, and value, status and alerts are emitted together. So it
makes no difference which of the topics is read first.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.merge.derived_kpi import KpiState
from agent.core.merge.step import Step
from agent.core.model.plan import Plan
from agent.core.model.results import Number, WindowValue


class BenchmarkTargets:
    """Evaluates the windows of one KPI with benchmarks, in one state partition."""

    def __init__(self, plan: Plan, state: KpiState, against: Mapping[str, KpiState]) -> None:
        self.state = state
        self.frontier_ms: int | None = None
        self.consumed_ms: int | None = None  # rows contain the evaluations up to here
        self._against = against
        by = state.kpi.by
        self._indexes = {
            name: tuple(by.index(dimension) for dimension in plan.kpis[name].by) for name in against
        }

    def advance(self) -> Step:
        """Evaluate every window that all benchmarks have closed."""
        step = Step()
        frontiers = [s.frontier_ms for s in (self.state, *self._against.values())]
        known = [f for f in frontiers if f is not None]
        if len(known) < len(frontiers):
            return step
        self.frontier_ms = min(known)
        ready = [
            (series, window)
            for series in (*self.state.series.values(), *self.state.expiring)
            for window in series.pop_pending(self.frontier_ms)
        ]
        ready.sort(key=lambda item: item[1].end_ms)
        step.closed += self.state.evaluator.evaluate_closed(
            ready, self.state.series.values(), self._value
        )
        step.changed.update(window.dimensions for _, window in ready)
        self._end_expired(step)
        return step

    def _end_expired(self, step: Step) -> None:
        """End the alerts of expired series once all their windows are evaluated."""
        for series in [s for s in self.state.expiring if not s.pending_evaluation]:
            self.state.expiring.remove(series)
            step.transitions += self.state.evaluator.close_alerts(series)
            if series.dimensions not in self.state.series:
                step.expired.add(series.dimensions or ())

    def mark_durable(self) -> None:
        """Note that rows contain all evaluations so far: the benchmarks' windows are no longer
        needed."""
        self.consumed_ms = self.frontier_ms

    def _value(self, name: str, window: WindowValue) -> Number:
        """A benchmark's value in the same window; None: it has none."""
        dimensions = tuple(window.dimensions[i] for i in self._indexes[name])
        return self._against[name].unread(dimensions, window.end_ms)
