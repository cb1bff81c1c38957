"""KPIs over KPIs: a window closes when all inputs have closed theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agent.core.evaluate import Judge
from agent.core.kpi_state import BaseState, Step
from agent.core.plan import Dimensions, Kpi, Plan
from agent.core.results import WindowValue
from agent.core.series import Series, born


class DerivedState:
    """A derived KPI's series; their inputs live in the same state partition."""

    def __init__(self, plan: Plan, kpi: Kpi, kept: bool) -> None:
        self.kpi = kpi
        self.judge = Judge(plan, kpi)
        self.series: dict[Dimensions, Series] = {}
        self.frontier_ms: int | None = None
        self.touched: set[Dimensions] = set()
        self._kept = kept
        # The inputs may name the same dimensions in another order.
        self._orders = [
            tuple(plan.kpis[name].by.index(dimension) for dimension in kpi.by)
            for name in kpi.inputs
        ]

    def restore(self, series: Series) -> None:
        """Take on a series from its row."""
        self.series[series.dimensions or ()] = series
        self.touched.add(series.dimensions or ())

    def advance(self, inputs: Sequence[KpiState]) -> Step:
        """Close every window that all inputs have closed."""
        step = Step()
        frontiers = [i.frontier_ms for i in inputs if i.frontier_ms is not None]
        if len(frontiers) < len(inputs):
            return step
        frontier = min(frontiers)
        if self.frontier_ms is not None and frontier <= self.frontier_ms:
            return step
        self.frontier_ms = frontier
        found: dict[tuple[int, Dimensions], list[tuple[float | None, int]]] = {}
        empties = [(state.empty_value(), 0) for state in inputs]
        for place, state in enumerate(inputs):
            for dimensions, end, waiting in self._waiting(place, state):
                if end <= frontier:
                    found.setdefault((end, dimensions), list(empties))[place] = waiting
        self._close(found, step)
        self._expire(inputs, step)
        return step

    def _waiting(
        self, place: int, state: KpiState
    ) -> Iterator[tuple[Dimensions, int, tuple[float | None, int]]]:
        """The closed windows of an input that are not used yet, by this KPI's dimensions."""
        for series in living(state):
            if series.waiting:
                dimensions = self._ours(place, series.dimensions or ())
                for end, waiting in series.waiting.items():
                    yield dimensions, end, waiting

    def _ours(self, place: int, theirs: Dimensions) -> Dimensions:
        """An input's dimensions in the order of this KPI's."""
        return tuple(theirs[i] for i in self._orders[place])

    def _close(
        self, found: Mapping[tuple[int, Dimensions], Sequence[tuple[float | None, int]]], step: Step
    ) -> None:
        fresh: list[tuple[Series, int, Sequence[tuple[float | None, int]]]] = []
        for (end, dimensions), row in sorted(found.items(), key=lambda item: item[0][0]):
            series = self._at(dimensions, end)
            if end > series.closed_ms:
                series.closed_ms = end
                fresh.append((series, end, row))
        values = self.judge.derived([[value for value, _ in row] for _, _, row in fresh])
        closed = []
        for (series, end, row), value in zip(fresh, values, strict=True):
            events = sum(number for _, number in row)
            closed.append((series, self._window(series.dimensions or (), end, value, events)))
            if events:
                series.last_event_ms = end
            if self._kept:
                series.waiting[end] = (value, events)
            step.changed.add(series.dimensions or ())
        step.closed += self.judge.close(closed, self.series.values())

    def _at(self, dimensions: Dimensions, end_ms: int) -> Series:
        series = self.series.get(dimensions)
        if series is None:
            start = self.kpi.window.start_of(end_ms)
            series = born(self.kpi.name, self.kpi.fingerprint, dimensions, start)
            self.series[dimensions] = series
        return series

    def _expire(self, inputs: Sequence[KpiState], step: Step) -> None:
        """Forget a series when no input has it any more.

        After a restart an input may not have it yet: its frames are still read again.
        """
        oldest = (self.frontier_ms or 0) - max(i.kpi.expire_after_ms for i in inputs)
        old = [
            dimensions
            for dimensions, series in self.series.items()
            if series.last_event_ms < oldest and not series.waiting
        ]
        known = old and {
            self._ours(place, series.dimensions or ())
            for place, state in enumerate(inputs)
            for series in living(state)
        }
        for dimensions in [d for d in old if d not in known]:
            step.transitions += self.judge.farewell(self.series.pop(dimensions))
            step.expired.add(dimensions)

    def _window(
        self,
        dimensions: Dimensions,
        end: int,
        value: float | None,
        events: int,
        open_: bool = False,
    ) -> WindowValue:
        start = self.kpi.window.start_of(end)
        calm = self.judge.upkeep.over(dimensions, start, end)
        return WindowValue(self.kpi.name, dimensions, start, end, value, events, open_, calm)

    def empty_value(self) -> float | None:
        """The value of a window that no input knows of."""
        return None

    def open_windows(
        self, inputs: Sequence[KpiState], windows: Sequence[Sequence[WindowValue]]
    ) -> list[WindowValue]:
        """The windows as they stand: of the inputs' open windows, and of those that an input has
        closed before the others did. Only those that hold rows."""
        found: dict[tuple[int, Dimensions], list[tuple[float | None, int]]] = {}
        empties = [(state.empty_value(), 0) for state in inputs]
        for place, state in enumerate(inputs):
            for window in windows[place]:
                key = window.end_ms, self._ours(place, window.dimensions)
                found.setdefault(key, list(empties))[place] = (window.value, window.events)
            for dimensions, end, waiting in self._waiting(place, state):
                if self.frontier_ms is None or end > self.frontier_ms:
                    found.setdefault((end, dimensions), list(empties))[place] = waiting
        rows = sorted(
            (item for item in found.items() if any(events for _, events in item[1])),
            key=lambda item: item[0][0],
        )
        values = self.judge.derived([[value for value, _ in row] for _, row in rows])
        return [
            self._window(dimensions, end, value, sum(events for _, events in row), True)
            for ((end, dimensions), row), value in zip(rows, values, strict=True)
        ]


KpiState = BaseState | DerivedState


def living(state: KpiState) -> list[Series]:
    """The series of a KPI, with those that are forgotten but for their unused windows."""
    found = list(state.series.values())
    return [*found, *state.departed.values()] if isinstance(state, BaseState) else found


def used(states: Mapping[str, KpiState], kpi: Kpi) -> None:
    """Drop the inputs' waiting windows that every KPI over them has used."""
    for name in kpi.inputs:
        frontiers = [s.frontier_ms for s in states.values() if name in s.kpi.inputs]
        if any(f is None for f in frontiers):
            continue
        done = min(f for f in frontiers if f is not None)
        for series in living(states[name]):
            for end in [e for e in series.waiting if e <= done]:
                del series.waiting[end]
