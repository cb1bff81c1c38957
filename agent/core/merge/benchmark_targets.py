"""Targets that are another KPI's value: windows are judged once the other has closed the same one.

A KPI with such a target closes its windows as any other, and keeps them (`Series.unjudged`) until
all its benchmarks are as far. Then they are held against the benchmarks' values, and told: value,
status and alerts together. So it makes no difference which of the feeds is read first.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.merge.base_kpi import BaseKpi, Step
from agent.core.merge.derived_kpi import KpiState
from agent.core.model.plan import Plan
from agent.core.model.results import WindowValue


class Benchmarked:
    """The judgement of one KPI against others, in one state partition."""

    def __init__(self, plan: Plan, state: KpiState, against: Mapping[str, KpiState]) -> None:
        self.state = state
        self.frontier_ms: int | None = None
        self.written_ms: int | None = None  # of the windows up to here, what was judged is safe
        self._against = against
        by = state.kpi.by
        self._places = {
            name: tuple(by.index(dimension) for dimension in plan.kpis[name].by) for name in against
        }
        state.evaluator.benchmark = self._value

    def advance(self) -> Step:
        """Judge every window that all benchmarks have closed, too."""
        step = Step()
        frontiers = [s.frontier_ms for s in (self.state, *self._against.values())]
        known = [f for f in frontiers if f is not None]
        if len(known) < len(frontiers):
            return step
        self.frontier_ms = min(known)
        ready = [
            (series, series.unjudged.pop(end))
            for series in (*self.state.series.values(), *self.state.leaving)
            for end in sorted(series.unjudged)
            if end <= self.frontier_ms
        ]
        ready.sort(key=lambda item: item[1].end_ms)
        step.closed += self.state.evaluator.evaluate_closed(ready, self.state.series.values())
        step.changed.update(window.dimensions for _, window in ready)
        self._part(step)
        return step

    def _part(self, step: Step) -> None:
        """End the alerts of forgotten series, now that all their windows have been judged."""
        for series in [s for s in self.state.leaving if not s.unjudged]:
            self.state.leaving.remove(series)
            step.transitions += self.state.evaluator.close_alerts(series)
            if series.dimensions not in self.state.series:
                step.expired.add(series.dimensions or ())

    def _value(self, name: str, window: WindowValue) -> float | None:
        """A benchmark's value of the same window; None where it has none."""
        state = self._against[name]
        dimensions = tuple(window.dimensions[i] for i in self._places[name])
        departed = state.departed if isinstance(state, BaseKpi) else {}
        for series in (state.series.get(dimensions), departed.get(dimensions)):
            if series is not None and window.end_ms in series.waiting:
                return series.waiting[window.end_ms][0]
        return None
