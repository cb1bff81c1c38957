"""KPIs over KPIs: a window closes when all inputs have closed theirs.

One that is by fewer dimensions than its inputs rolls them up: its value is made of aggregates over
those of their series that have events in the window.

Unknown is not zero. An input that never had a series says of it what it says of a window without
events, 0 for a count. It says nothing (no value) where it can not know:

- its series that exceed `max_series` were folded into `__other__`, which has events in the window;
- of `__other__` itself, where it has none: that of another input is made of other series;
- it had the series, which has expired since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from agent.core.evaluate.evaluator import Evaluator
from agent.core.merge.backfill_buffer import BEGINNING_MS
from agent.core.merge.base_kpi import BaseKpi, Step
from agent.core.merge.missed_records import MissedRecords, any_touches
from agent.core.model.plan import OTHER, Dimensions, Kpi, Plan
from agent.core.model.results import Number, WindowValue
from agent.core.state.series import Series, born

Key = tuple[int, Dimensions]
"""A window's end (ms), and the series."""
Waiting = tuple[Number, int]
"""A window's value and number of events."""
Rows = Sequence[Sequence[Waiting]]


class DerivedKpi:
    """A derived KPI's series; their inputs live in the same state partition."""

    def __init__(
        self, plan: Plan, kpi: Kpi, kept: bool, missed: Sequence[MissedRecords] = ()
    ) -> None:
        self.kpi = kpi
        self.evaluator = Evaluator(plan, kpi)
        self.series: dict[Dimensions, Series] = {}
        self.leaving: list[Series] = []  # none: a series is kept until all is judged
        self.frontier_ms: int | None = None
        self.touched: set[Dimensions] = set()
        # An input that was given its past has windows up to here that the others have no more.
        self.begins_ms = BEGINNING_MS
        self.waits = False  # an input waits for its past: nothing can be said
        self._kept = kept
        self._missed = missed
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

    def _values(self, windows: Sequence[tuple[Dimensions, Rows, bool]]) -> list[Number]:
        """The value of each window: of the inputs' values, or rolled up over those of all series
        that have events. None where series that belong to it may be in `__other__`."""
        if not self.rolls_up:
            return self.evaluator.derived_values(
                [[value for value, _ in row] for _, (row,), _ in windows]
            )
        rolled = self.evaluator.rolled_up_values(
            [
                [[value for value, _ in row] for row in rows if _events([row])]
                for _, rows, _ in windows
            ]
        )
        return [
            None if overflows and dimensions and not is_other(dimensions) else value
            for value, (dimensions, _, overflows) in zip(rolled, windows, strict=True)
        ]

    def _close(self, found: _Found, step: Step) -> None:
        fresh: list[tuple[Series, int]] = []
        windows: list[tuple[Dimensions, Rows, bool]] = []
        for end, dimensions in found.in_order():
            series = self._at(dimensions, end)
            if end > series.closed_ms:
                series.closed_ms = end
                rows = found.rows((end, dimensions), series.inputs)
                if not self.rolls_up:
                    series.inputs |= found.inputs((end, dimensions))
                fresh.append((series, end))
                windows.append((dimensions, rows, found.overflows(end)))
        closed = []
        for (series, end), (_, rows, _), value in zip(
            fresh, windows, self._values(windows), strict=True
        ):
            events = _events(rows)
            closed.append((series, self._window(series.dimensions or (), end, value, events)))
            if events:
                series.last_event_ms = end
            if self._kept:
                series.waiting[end] = (value, events)
            step.changed.add(series.dimensions or ())
        step.closed += self.evaluator.close_windows(closed, self.series.values())

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
            step.transitions += self.evaluator.close_alerts(self.series.pop(dimensions))
            step.expired.add(dimensions)

    def _window(
        self,
        dimensions: Dimensions,
        end: int,
        value: Number,
        events: int,
        open_: bool = False,
    ) -> WindowValue:
        start = self.kpi.window.start_of(end)
        calm = self.evaluator.maintenance.covering(dimensions, start, end)
        return WindowValue(
            self.kpi.name, dimensions, start, end, value, events, open_, calm,
            any_touches(self._missed, start, end),
        )  # fmt: skip

    def empty_value(self) -> Number:
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
        keys, wanted = [], []
        for end, dimensions in found.in_order():
            series = self.series.get(dimensions)
            rows = found.rows((end, dimensions), series.inputs if series else 0)
            if _events(rows):
                keys.append((end, dimensions))
                wanted.append((dimensions, rows, found.overflows(end)))
        return [
            self._window(dimensions, end, value, _events(rows), True)
            for (end, dimensions), (_, rows, _), value in zip(
                keys, wanted, self._values(wanted), strict=True
            )
        ]


class _Found:
    """What the inputs say of each window: for each of their series a row, with a place for each
    input."""

    def __init__(self, inputs: Sequence[KpiState]) -> None:
        self._empties: list[Waiting] = [(state.empty_value(), 0) for state in inputs]
        self._rows: dict[Key, dict[Dimensions, dict[int, Waiting]]] = {}
        self._overflow: set[tuple[int, int]] = set()  # ends of windows, and inputs

    def put(self, key: Key, theirs: Dimensions, place: int, waiting: Waiting) -> None:
        """What one input says of one of its series."""
        self._rows.setdefault(key, {}).setdefault(theirs, {})[place] = waiting
        if waiting[1] and is_other(theirs):
            self._overflow.add((key[0], place))

    def in_order(self) -> list[Key]:
        """The windows in the order of their ends."""
        return sorted(self._rows, key=lambda key: key[0])

    def rows(self, key: Key, had: int) -> Rows:
        """The rows of a window, in an order that is always the same: sums of floats depend on it.
        `had`: the inputs, as bits, that knew the series before."""
        return [
            [
                row[place] if place in row else self._missing(key[0], theirs, place, had)
                for place in range(len(self._empties))
            ]
            for theirs, row in sorted(self._rows[key].items(), key=lambda item: repr(item[0]))
        ]

    def _missing(self, end_ms: int, theirs: Dimensions, place: int, had: int) -> Waiting:
        """What an input that does not have a series says of it."""
        unknown = (end_ms, place) in self._overflow or is_other(theirs) or had >> place & 1
        return (None, 0) if unknown else self._empties[place]

    def inputs(self, key: Key) -> int:
        """The inputs, as bits, that know a series of the window."""
        known = 0
        for row in self._rows[key].values():
            for place in row:
                known |= 1 << place
        return known

    def overflows(self, end_ms: int) -> bool:
        """Whether an input has folded series into `__other__` that have events in the windows with
        this end."""
        return any((end_ms, place) in self._overflow for place in range(len(self._empties)))


def is_other(dimensions: Dimensions) -> bool:
    """Whether it is the series that takes in what exceeds a KPI's `max_series`."""
    return bool(dimensions) and all(value == OTHER for value in dimensions)


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
