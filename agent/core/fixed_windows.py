"""Fixed windows: rules are evaluated on windows with given values, without events.

The KPIs of a merger are replaced by ones (`FixedBaseKpi`, `FixedDerivedKpi`) that close the given
windows at their ends. Everything after that (targets, alerts, KPIs over KPIs) is the same code as
for windows of events.

The times of a window's events are not known. A window with events counts as if it had some at any
time since the end of the window before, so absence rules count from its own end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from msgspec import structs

from agent.core.evaluate.evaluator import Evaluator
from agent.core.evaluate.thresholds import OnEvaluation
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.derived_kpi import DerivedKpi, KpiState
from agent.core.merge.live_series import series_limit
from agent.core.merge.merger import Merger
from agent.core.merge.step import Step
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, WindowValue
from agent.core.model.windows import MAX_SLICE_MS, previous_end
from agent.core.pipeline import in_event_time_order
from agent.core.state.series import Series


class FixedWindows:
    """The core with fixed windows of some KPIs; other KPIs over events have no windows.

    KPIs over KPIs without fixed windows are computed from their inputs. Windows of several series
    with the same end are evaluated together.
    """

    def __init__(
        self,
        plan: Plan,
        windows: Iterable[WindowValue],
        on_evaluation: OnEvaluation | None = None,
    ) -> None:
        self._plan = _without_lateness(plan)
        self._windows: dict[str, list[WindowValue]] = {}
        for window in sorted(windows, key=lambda w: w.end_ms):
            self._windows.setdefault(window.kpi, []).append(window)
        self.merger = Merger(self._plan, 0, 1, on_evaluation=on_evaluation, make_kpi=self._make_kpi)

    def run(self, until_ms: int) -> Emitted:
        """Close all windows in event-time order, then advance time to an instant.

        Results up to a little later than that are emitted, too.
        """
        for name, windows in self._windows.items():
            kpi = self._plan.kpis[name]
            for end_ms in (window.end_ms for window in windows if window.events):
                slices = range(previous_end(kpi.window, end_ms), end_ms, kpi.slice_ms)
                self.merger.note_events(name, slices)
        ends = sorted({w.end_ms for windows in self._windows.values() for w in windows})
        past = max([until_ms, *ends]) + MAX_SLICE_MS + 1
        contracts = {self._plan.kpis[name].contract for name in self._windows}
        fixed = sorted(name for name in contracts if name is not None)
        finish = self.merger.finish
        # Contracts without fixed windows are at the end already, so that no other waits for them.
        emitted = [finish([n for n in self._plan.contracts if n not in contracts], past)]
        emitted += [finish(fixed, at) for at in [*ends, past]]
        return in_event_time_order(emitted)

    def advance(self, at_ms: int) -> Emitted:
        """Close the windows that end by an instant, of all contracts."""
        return self.merger.finish(list(self._plan.contracts), at_ms)

    def _make_kpi(self, evaluator: Evaluator, is_read: bool) -> KpiState | None:
        windows = self._windows.get(evaluator.kpi.name)
        if windows is None:
            return None
        if evaluator.kpi.contract is None:
            return FixedDerivedKpi(self._plan, evaluator, is_read, windows)
        return FixedBaseKpi(evaluator, is_read, windows)


class FixedBaseKpi(BaseKpi):
    """A KPI over events with fixed windows."""

    def __init__(self, evaluator: Evaluator, is_read: bool, windows: list[WindowValue]) -> None:
        super().__init__(evaluator, series_limit(evaluator.kpi, 1), is_read)
        self._windows = _FixedSeries(self, is_read, windows)

    def advance(self, frontier_ms: int) -> Step:
        """Close the windows that end by the frontier."""
        step = Step()
        self.frontier_ms = frontier_ms
        for end_ms, windows in self._windows.pop_until(frontier_ms):
            began_ms = previous_end(self.kpi.window, end_ms)
            for series in self._windows.with_events(windows):
                step.transitions += self.evaluator.absences.evaluate(
                    series, end_ms, end_ms, began_ms
                )
            self._windows.close(windows, step)
            self.end_expired(self.expire(end_ms, step), step)
        self.evaluate_absence(step, self.series.values(), frontier_ms)
        return step


class FixedDerivedKpi(DerivedKpi):
    """A KPI over KPIs with fixed windows; its inputs have no effect."""

    def __init__(
        self, plan: Plan, evaluator: Evaluator, is_read: bool, windows: list[WindowValue]
    ) -> None:
        super().__init__(plan, evaluator, is_read)
        self._windows = _FixedSeries(self, is_read, windows)

    def advance(self, inputs: Sequence[KpiState]) -> Step:
        """Close the windows that end by the frontier of all inputs."""
        step = Step()
        frontiers = [i.frontier_ms for i in inputs if i.frontier_ms is not None]
        if len(frontiers) < len(inputs):
            return step
        self.frontier_ms = min(frontiers)
        for _, windows in self._windows.pop_until(self.frontier_ms):
            self._windows.close(windows, step)
        return step


class _FixedSeries:
    """The fixed windows of one KPI, and its series."""

    def __init__(self, state: KpiState, is_read: bool, windows: Iterable[WindowValue]) -> None:
        self._state = state
        self._is_read = is_read
        self._by_end = {end: list(group) for end, group in groupby(windows, lambda w: w.end_ms)}

    def pop_until(self, frontier_ms: int) -> Iterator[tuple[int, list[WindowValue]]]:
        """Remove and return the windows that end by an instant, in the order of their ends."""
        for end_ms in [end for end in self._by_end if end <= frontier_ms]:
            yield end_ms, self._by_end.pop(end_ms)

    def with_events(self, windows: Iterable[WindowValue]) -> Iterator[Series]:
        """The series of those windows that have events."""
        return (self._series(window) for window in windows if window.events)

    def close(self, windows: Iterable[WindowValue], step: Step) -> None:
        """Close the windows that end at one instant, as a KPI does that has computed them."""
        covering = self._state.evaluator.maintenance.covering
        closed = []
        for window in windows:
            name = covering(window.dimensions, window.start_ms, window.end_ms)
            closed.append((self._series(window), structs.replace(window, maintenance=name)))
        for series, window in closed:
            if window.events:
                series.had_event(window.end_ms)
            if self._is_read:
                series.keep(window.end_ms, window.value, window.events)
            step.changed.add(window.dimensions)
        step.closed += self._state.evaluator.close_windows(closed)

    def _series(self, window: WindowValue) -> Series:
        kpi, live = self._state.kpi, self._state.series
        if window.dimensions not in live:
            series = Series.new(kpi.name, kpi.fingerprint, window.dimensions, window.start_ms)
            series.had_event(previous_end(kpi.window, window.end_ms))
            live[window.dimensions] = series
        return live[window.dimensions]


def _without_lateness(plan: Plan) -> Plan:
    """The plan without lateness: windows close at their end."""
    return replace(
        plan,
        contracts={n: replace(c, lateness_ms=0) for n, c in plan.contracts.items()},
        kpis={n: replace(k, lateness_ms=0) for n, k in plan.kpis.items()},
    )


def consecutive_windows(
    kpi: Kpi, dimensions: Dimensions, values: Iterable[tuple[float | None, int]], start_ms: int
) -> Iterator[WindowValue]:
    """Consecutive windows of a series, from values and their numbers of events; the first is the
    one that ends first after `start_ms`."""
    end_ms = start_ms
    for value, events in values:
        end_ms = kpi.window.first_end_after(end_ms)
        start = kpi.window.start_of(end_ms)
        yield WindowValue(kpi.name, dimensions, start, end_ms, value, events)
