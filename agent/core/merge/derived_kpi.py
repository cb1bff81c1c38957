"""KPIs over KPIs: a window closes when all inputs have closed theirs.

One that is by fewer dimensions than its inputs rolls them up: its value is made of aggregates over
those of their series that have events in the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from agent.core.evaluate.evaluator import Evaluator
from agent.core.merge.backfill_buffer import BEGINNING_MS
from agent.core.merge.base_kpi import BaseKpi, Step
from agent.core.model.plan import Dimensions, Kpi, Plan
from agent.core.model.results import WindowValue
from agent.core.state.series import Series, born

Key = tuple[int, Dimensions]
"""A window's end (ms), and the series."""
Waiting = tuple[float | None, int]
"""A window's value and number of events."""
Rows = Sequence[Sequence[Waiting]]


class DerivedKpi:
    """A derived KPI's series; their inputs live in the same state partition."""

    def __init__(self, plan: Plan, kpi: Kpi, kept: bool) -> None:
        self.kpi = kpi
        self.judge = Evaluator(plan, kpi)
        self.series: dict[Dimensions, Series] = {}
        self.leaving: list[Series] = []  # none: a series is kept until all is judged
        self.frontier_ms: int | None = None
        self.touched: set[Dimensions] = set()
        # An input that was given its past has windows up to here that the others have no more.
        self.begins_ms = BEGINNING_MS
        self.waits = False  # an input waits for its past: nothing can be said
        self._kept = kept
        # The inputs may name the same dimensions in another order.
        self._orders = [
            tuple(plan.kpis[name].by.index(dimension) for dimension in kpi.by)
            for name in kpi.inputs
        ]
        first = plan.kpis[kpi.inputs[0]].by
        self._alikes = [
            tuple(plan.kpis[name].by.index(dimension) for dimension in first) for name in kpi.inputs
        ]
        self.rolls_up = len(kpi.by) < len(first)

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
        found = _Found(inputs)
        for place, state in enumerate(inputs):
            for key, theirs, waiting in self._waiting(place, state):
                if self.begins_ms < key[0] <= frontier:
                    found.put(key, theirs, place, waiting)
        self._close(found, step)
        self._expire(inputs, step)
        return step

    def _waiting(self, place: int, state: KpiState) -> Iterator[tuple[Key, Dimensions, Waiting]]:
        """The closed windows of an input that are not used yet."""
        for series in living(state):
            if series.waiting:
                dimensions = series.dimensions or ()
                ours, theirs = self._ours(place, dimensions), self._alike(place, dimensions)
                for end, waiting in series.waiting.items():
                    yield (end, ours), theirs, waiting

    def _ours(self, place: int, theirs: Dimensions) -> Dimensions:
        """An input's dimensions in the order of this KPI's, without those that it leaves out."""
        return tuple(theirs[i] for i in self._orders[place])

    def _alike(self, place: int, theirs: Dimensions) -> Dimensions:
        """An input's dimensions in the order of the first input's."""
        return tuple(theirs[i] for i in self._alikes[place])

    def _values(self, rows: Sequence[Rows]) -> list[float | None]:
        """The value of each window: of the inputs' values, or rolled up over those of all series
        that have events."""
        if not self.rolls_up:
            return self.judge.derived([[value for value, _ in row] for (row,) in rows])
        return self.judge.rolled_up(
            [[[value for value, _ in row] for row in some if _events([row])] for some in rows]
        )

    def _close(self, found: _Found, step: Step) -> None:
        fresh: list[tuple[Series, int, Rows]] = []
        for (end, dimensions), rows in found.in_order():
            series = self._at(dimensions, end)
            if end > series.closed_ms:
                series.closed_ms = end
                fresh.append((series, end, rows))
        values = self._values([rows for _, _, rows in fresh])
        closed = []
        for (series, end, rows), value in zip(fresh, values, strict=True):
            events = _events(rows)
            closed.append((series, self._window(series.dimensions or (), end, value, events)))
            if events:
                series.last_event_ms = end
            if self._kept:
                series.waiting[end] = (value, events)
            step.changed.add(series.dimensions or ())
        step.closed += self.judge.take(closed, self.series.values())

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
            if series.last_event_ms < oldest and not series.waiting and not series.unjudged
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
        if self.waits:
            return []
        found = _Found(inputs)
        for place, state in enumerate(inputs):
            for window in windows[place]:
                key = window.end_ms, self._ours(place, window.dimensions)
                theirs = self._alike(place, window.dimensions)
                found.put(key, theirs, place, (window.value, window.events))
            for key, theirs, waiting in self._waiting(place, state):
                if self.frontier_ms is None or key[0] > self.frontier_ms:
                    found.put(key, theirs, place, waiting)
        rows = [(key, some) for key, some in found.in_order() if _events(some)]
        values = self._values([some for _, some in rows])
        return [
            self._window(dimensions, end, value, _events(some), True)
            for ((end, dimensions), some), value in zip(rows, values, strict=True)
        ]


class _Found:
    """What the inputs say of each window: for each of their series a row, with a place for each
    input; what an input does not know of is empty."""

    def __init__(self, inputs: Sequence[KpiState]) -> None:
        self._empties: list[Waiting] = [(state.empty_value(), 0) for state in inputs]
        self._rows: dict[Key, dict[Dimensions, list[Waiting]]] = {}

    def put(self, key: Key, theirs: Dimensions, place: int, waiting: Waiting) -> None:
        """What one input says of one of its series."""
        rows = self._rows.setdefault(key, {})
        rows.setdefault(theirs, list(self._empties))[place] = waiting

    def in_order(self) -> list[tuple[Key, Rows]]:
        """The windows in the order of their ends, the rows of each in one that is always the same:
        sums of floats depend on it."""
        return [
            (key, [row for _, row in sorted(rows.items(), key=lambda item: repr(item[0]))])
            for key, rows in sorted(self._rows.items(), key=lambda item: item[0][0])
        ]


def _events(rows: Rows) -> int:
    return sum(events for row in rows for _, events in row)


KpiState = BaseKpi | DerivedKpi


def living(state: KpiState) -> list[Series]:
    """The series of a KPI, with those that are forgotten but for their unused windows."""
    found = list(state.series.values())
    return [*found, *state.departed.values()] if isinstance(state, BaseKpi) else found


Reader = Callable[[], int | None]
"""How far (ms) somebody has used the windows of a KPI."""


def used(states: Mapping[str, KpiState], readers: Mapping[str, Sequence[Reader]]) -> None:
    """Drop the waiting windows, by KPI, that everybody who reads them has used."""
    for name, reading in readers.items():
        frontiers = [reader() for reader in reading]
        if any(f is None for f in frontiers):
            continue
        done = min(f for f in frontiers if f is not None)
        for series in living(states[name]):
            for end in [e for e in series.waiting if e <= done]:
                del series.waiting[end]
