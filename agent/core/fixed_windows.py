"""Values of closed windows that are given, not computed: rules are judged without any event.

`FixedWindows` is a merger whose states close the windows that it was given, at their ends; all that
follows (targets, alerts, KPIs over KPIs) is the same code that closes windows of events.

Of a given window is not known when its events came. One with events counts as events all along
since the end of the window before, so that no silence begins before its own end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from msgspec import structs

from agent.core.merge.base_kpi import BaseKpi, Step
from agent.core.merge.derived_kpi import DerivedKpi, KpiState
from agent.core.merge.live_series import limit_of
from agent.core.merge.merger import Merger
from agent.core.model.plan import Dimensions, Kpi, Plan
from agent.core.model.results import Emitted, WindowValue
from agent.core.model.windows import MAX_SLICE_MS, previous_end
from agent.core.pipeline import joined
from agent.core.state.series import Series


class FixedWindows(Merger):
    """A merger that closes given windows of some KPIs; its other KPIs over events have none.

    A KPI over KPIs that is not given is computed from its inputs. Several series may have windows
    with the same end; they are judged together.
    """

    def __init__(self, plan: Plan, windows: Iterable[WindowValue]) -> None:
        self._given: dict[str, list[WindowValue]] = {}
        for window in sorted(windows, key=lambda w: w.end_ms):
            self._given.setdefault(window.kpi, []).append(window)
        super().__init__(_without_lateness(plan), 0, 1, make_kpi=self._make_kpi)
        for kpi, of_kpi in self._given.items():
            of = self.plan.kpis[kpi]
            for end in (w.end_ms for w in of_kpi if w.events):
                slices = range(previous_end(of.window, end), end, of.slice_ms)
                self.note_events(kpi, slices)

    def run(self, until_ms: int) -> Emitted:
        """Close all windows in event-time order, then let time go by up to an instant.

        What is known of a little more time than that is told, too.
        """
        ends = sorted({w.end_ms for windows in self._given.values() for w in windows})
        past = max([until_ms, *ends]) + MAX_SLICE_MS + 1
        found = {self.plan.kpis[name].contract for name in self._given}
        given = {self.plan.contracts[name].topic for name in found if name is not None}
        # Where nothing is given time has passed already: nobody waits for it.
        told = [self.finish(topic, past) for topic in self.plan.topics if topic not in given]
        told += [self.finish(topic, at) for at in [*ends, past] for topic in sorted(given)]
        return joined(told)

    def _make_kpi(self, kpi: Kpi, kept: bool) -> KpiState:
        given = self._given.get(kpi.name)
        if given is None:
            return self.make_kpi(kpi, kept)
        if kpi.contract is None:
            return _GivenDerived(self.plan, kpi, kept, given)
        return _GivenBase(self.plan, kpi, kept, given)


class _GivenBase(BaseKpi):
    """A KPI over events whose windows are given."""

    def __init__(self, plan: Plan, kpi: Kpi, kept: bool, windows: list[WindowValue]) -> None:
        super().__init__(plan, kpi, limit_of(kpi, 1), kept)
        self._given = _by_end(windows)

    def advance(self, frontier_ms: int) -> Step:
        step = Step()
        self.frontier_ms = frontier_ms
        for end_ms in [end for end in self._given if end <= frontier_ms]:
            windows = self._given.pop(end_ms)
            began = previous_end(self.kpi.window, end_ms)
            for window in [w for w in windows if w.events]:
                series = _series(self, window)
                step.transitions += self.evaluator.evaluate_absence(series, end_ms, end_ms, began)
            _close(self, windows, self._is_read, step)
            self.end_expired(self.expire(end_ms, step), step)
        self.evaluate_absence(step, self.series.values(), frontier_ms)
        return step


class _GivenDerived(DerivedKpi):
    """A KPI over KPIs whose windows are given, whatever its inputs are."""

    def __init__(self, plan: Plan, kpi: Kpi, kept: bool, windows: list[WindowValue]) -> None:
        super().__init__(plan, kpi, kept)
        self._given = _by_end(windows)

    def advance(self, inputs: Sequence[KpiState]) -> Step:
        step = Step()
        frontiers = [i.frontier_ms for i in inputs]
        if any(f is None for f in frontiers):
            return step
        self.frontier_ms = min(f for f in frontiers if f is not None)
        for end_ms in [end for end in self._given if end <= self.frontier_ms]:
            _close(self, self._given.pop(end_ms), self._is_read, step)
        return step


def _close(state: KpiState, windows: Iterable[WindowValue], kept: bool, step: Step) -> None:
    """Close the windows of one instant, as a state does that has computed their values."""
    maintenance = state.evaluator.maintenance
    closed = []
    for window in windows:
        calm = maintenance.covering(window.dimensions, window.start_ms, window.end_ms)
        closed.append((_series(state, window), structs.replace(window, maintenance=calm)))
    for series, window in closed:
        if window.events:
            series.last_event_ms = window.end_ms
        if kept:
            series.unread[window.end_ms] = (window.value, window.events)
        step.changed.add(window.dimensions)
    step.closed += state.evaluator.close_windows(closed)


def _series(state: KpiState, window: WindowValue) -> Series:
    if window.dimensions not in state.series:
        series = Series.new(
            state.kpi.name, state.kpi.fingerprint, window.dimensions, window.start_ms
        )
        series.last_event_ms = previous_end(state.kpi.window, window.end_ms)
        state.series[window.dimensions] = series
    return state.series[window.dimensions]


def _by_end(windows: Iterable[WindowValue]) -> dict[int, list[WindowValue]]:
    return {end: list(group) for end, group in groupby(windows, key=lambda w: w.end_ms)}


def _without_lateness(plan: Plan) -> Plan:
    """The plan with windows that close at their very end: nothing comes late."""
    return replace(
        plan,
        contracts={n: replace(c, lateness_ms=0) for n, c in plan.contracts.items()},
        kpis={n: replace(k, lateness_ms=0) for n, k in plan.kpis.items()},
    )


def given_windows(
    kpi: Kpi, dimensions: Dimensions, values: Iterable[tuple[float | None, int]], start_ms: int
) -> Iterator[WindowValue]:
    """Consecutive windows of a series, of values and their numbers of events; the first is the
    one that ends first after `start_ms`."""
    end_ms = start_ms
    for value, events in values:
        end_ms = kpi.window.first_end_after(end_ms)
        start = kpi.window.start_of(end_ms)
        yield WindowValue(kpi.name, dimensions, start, end_ms, value, events)
