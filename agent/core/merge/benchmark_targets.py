"""Targets that are another KPI's value: windows are evaluated once the other has closed the same.

A KPI with such a target closes its windows as any other, and keeps them
(`Series.pending_evaluation`) until all its benchmarks are as far. Then they are evaluated against
the benchmarks' values, and emitted: value, status and alerts together. So it makes no difference
which of the feeds is read first.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.merge.derived_kpi import KpiState
from agent.core.merge.step import Step
from agent.core.model.plan import Plan
from agent.core.model.results import Number, WindowValue


class BenchmarkTargets:
    """Evaluates one KPI against others, in one state partition."""

    def __init__(self, plan: Plan, state: KpiState, against: Mapping[str, KpiState]) -> None:
        self.state = state
        self.frontier_ms: int | None = None
        self.consumed_ms: int | None = None  # up to here, what was evaluated is in rows
        self._against = against
        by = state.kpi.by
        self._indexes = {
            name: tuple(by.index(dimension) for dimension in plan.kpis[name].by) for name in against
        }

    def advance(self) -> Step:
        """Evaluate every window that all benchmarks have closed, too."""
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
        """End the alerts of expired series, now that all their windows have been evaluated."""
        for series in [s for s in self.state.expiring if not s.pending_evaluation]:
            self.state.expiring.remove(series)
            step.transitions += self.state.evaluator.close_alerts(series)
            if series.dimensions not in self.state.series:
                step.expired.add(series.dimensions or ())

    def mark_durable(self) -> None:
        """Note that what was evaluated is in rows: its benchmarks are not needed any more."""
        self.consumed_ms = self.frontier_ms

    def _value(self, name: str, window: WindowValue) -> Number:
        """A benchmark's value of the same window; None where it has none."""
        dimensions = tuple(window.dimensions[i] for i in self._indexes[name])
        return self._against[name].unread(dimensions, window.end_ms)
