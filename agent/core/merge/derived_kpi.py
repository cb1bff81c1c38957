"""KPIs over KPIs: a window closes once all inputs have closed the same window.

A KPI with fewer dimensions than its inputs is a roll-up: its value aggregates over the series of
its inputs that have events in the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from agent.core.evaluate.evaluator import Evaluator
from agent.core.merge.backfill_buffer import BEGINNING_MS
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.input_windows import (
    InputDimensions,
    InputRows,
    InputValue,
    InputWindows,
    Members,
    WindowKey,
    events_of,
    is_other,
)
from agent.core.merge.missed_records import NONE_MISSED, MissedForKpi
from agent.core.merge.step import Step
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import Number, WindowValue
from agent.core.state.series import Series


class _Window(NamedTuple):
    """The inputs of one window. `overflows`: an input has folded series into `__other__` that may
    belong to it. `hidden`: it has fewer people than may be shown."""

    dimensions: Dimensions
    rows: InputRows
    overflows: bool
    hidden: bool

    @property
    def events(self) -> int:
        """The number of its events; 0 if it is hidden."""
        return 0 if self.hidden else events_of(self.rows)


class DerivedKpi:
    """The series of a derived KPI; those of its inputs are in the same state partition."""

    def __init__(
        self,
        plan: Plan,
        evaluator: Evaluator,
        is_read: bool,
        missed: MissedForKpi = NONE_MISSED,
    ) -> None:
        self.kpi = kpi = evaluator.kpi
        self.evaluator = evaluator
        self.series: dict[Dimensions, Series] = {}
        self.expiring: list[Series] = []  # always empty: series are live until all is evaluated
        self.frontier_ms: int | None = None
        self.changed_views: set[Dimensions] = set()
        # The last handoff of the inputs' backfills: earlier windows are not known of all inputs.
        self._begins_ms = BEGINNING_MS
        self._waits = False  # an input waits for its backfill, so that no window is known
        self._is_read = is_read
        self._missed = missed
        self._dimensions = InputDimensions(plan, kpi)
        self._rolls_up = self._dimensions.rolls_up
        self._members = Members(self._dimensions, self.series)

    @property
    def consumed_ms(self) -> int | None:
        """How far the windows of the inputs are consumed."""
        return self.frontier_ms

    @property
    def unread_series(self) -> Iterable[Series]:
        """All series: they may have windows that other KPIs have not read."""
        return self.series.values()

    def find(self, dimensions: Dimensions) -> Series | None:
        """A series; None: it does not exist."""
        return self.series.get(dimensions)

    def unread(self, dimensions: Dimensions, end_ms: int) -> Number:
        """The value of a closed window that is kept for other KPIs."""
        series = self.series.get(dimensions)
        return series.unread[end_ms][0] if series and end_ms in series.unread else None

    def note_backfills(self, waits: bool, handoff_ms: int | None) -> None:
        """Note whether an input waits for its backfill, and the last handoff of the others."""
        self._waits = waits
        if handoff_ms is not None:
            self._begins_ms = handoff_ms

    def restore(self, series: Series) -> None:
        """Continue with a series from its row."""
        self.series[series.dimensions or ()] = series
        self.changed_views.add(series.dimensions or ())

    def advance(self, inputs: Sequence[KpiState]) -> Step:
        """Close every window that all inputs have closed."""
        step = Step()
        frontiers = [i.frontier_ms for i in inputs if i.frontier_ms is not None]
        if len(frontiers) < len(inputs):
            return step
        frontier = min(frontiers)
        if self.frontier_ms is not None and frontier <= self.frontier_ms:
            return step
        if self._rolls_up and self.frontier_ms is None:
            self._members.restore(inputs)
        self.frontier_ms = frontier
        windows = InputWindows(inputs)
        for index, state in enumerate(inputs):
            for key, theirs, waiting in self._unread(index, state):
                if self._begins_ms < key[0] <= frontier:
                    windows.put(key, theirs, index, waiting)
        self._close(windows, step)
        if self._rolls_up and len(inputs) > 1:
            step.changed.update(self._members.note_lost(inputs))
        self._expire(inputs, step)
        return step

    def _unread(
        self, index: int, state: KpiState
    ) -> Iterator[tuple[WindowKey, Dimensions, InputValue]]:
        """The closed windows of an input that this KPI may not have consumed."""
        for series in state.unread_series:
            if series.unread:
                dimensions = series.dimensions or ()
                ours = self._dimensions.ours(index, dimensions)
                theirs = self._dimensions.in_common_order(index, dimensions)
                for end, waiting in series.unread.items():
                    yield (end, ours), theirs, waiting

    def _values(self, windows: Sequence[_Window]) -> list[Number]:
        """The value of each window, from the inputs' values or rolled up over the series that have
        events. None: it is unknown, or hidden."""
        if not self._rolls_up:
            return self.evaluator.values.evaluate_inputs(
                [[value for value, _ in window.rows[0]] for window in windows]
            )
        rolled = self.evaluator.values.evaluate_groups(
            [
                [[value for value, _ in row] for row in window.rows if events_of([row])]
                for window in windows
            ]
        )
        return [
            None if w.hidden or (w.overflows and w.dimensions and not is_other(w.dimensions))
            else value
            for value, w in zip(rolled, windows, strict=True)
        ]  # fmt: skip

    def _close(self, inputs: InputWindows, step: Step) -> None:
        fresh: list[tuple[Series, int]] = []
        windows: list[_Window] = []
        for end, dimensions in inputs.in_order():
            series = self._at(dimensions, end)
            if end > series.closed_ms:
                series.close(end)
                rows = inputs.rows((end, dimensions), self._members.had(series))
                if self._rolls_up:
                    for theirs, known in inputs.known((end, dimensions)):
                        self._members.note(theirs, known)
                else:
                    series.inputs |= inputs.inputs((end, dimensions))
                fresh.append((series, end))
                windows.append(self._window((end, dimensions), rows, inputs))
        closed = []
        for (series, end), window, value in zip(fresh, windows, self._values(windows), strict=True):
            closed.append((series, self._value(end, window, value)))
            if events_of(window.rows):
                series.had_event(end)
            if self._is_read:
                series.keep(end, value, window.events)
            step.changed.add(series.dimensions or ())
        step.closed += self.evaluator.close_windows(closed, self.series.values())

    def _at(self, dimensions: Dimensions, end_ms: int) -> Series:
        series = self.series.get(dimensions)
        if series is None:
            start = self.kpi.window.start_of(end_ms)
            series = Series.new(self.kpi.name, self.kpi.fingerprint, dimensions, start)
            self.series[dimensions] = series
        return series

    def _expire(self, inputs: Sequence[KpiState], step: Step) -> None:
        """Expire the series that no input has any more, and that had no event for the longest
        `expire_after` of the inputs: after a restart, an input may still have to read frames."""
        oldest = (self.frontier_ms or 0) - max(i.kpi.expire_after_ms for i in inputs)
        old = [
            dimensions
            for dimensions, series in self.series.items()
            if series.last_event_ms < oldest and not series.unread and not series.pending_evaluation
        ]
        known = old and {
            self._dimensions.ours(index, series.dimensions or ())
            for index, state in enumerate(inputs)
            for series in state.unread_series
        }
        for dimensions in [d for d in old if d not in known]:
            step.transitions += self.evaluator.close_alerts(self.series.pop(dimensions))
            step.expired.add(dimensions)

    def _window(self, key: WindowKey, rows: InputRows, inputs: InputWindows) -> _Window:
        hidden = self._dimensions.hides(inputs.series_with_events(key))
        return _Window(key[1], rows, inputs.overflows(key[0]), hidden)

    def _value(
        self, end: int, window: _Window, value: Number, is_open: bool = False
    ) -> WindowValue:
        start = self.kpi.window.start_of(end)
        maintenance = self.evaluator.maintenance.covering(window.dimensions, start, end)
        return WindowValue(
            self.kpi.name, window.dimensions, start, end, value, window.events, is_open,
            maintenance, self._missed.overlaps(start, end), window.hidden,
        )  # fmt: skip

    def drain_changed_views(self) -> set[Dimensions]:
        """The series whose views changed since the last call."""
        changed, self.changed_views = self.changed_views, set()
        return changed

    def empty_value(self) -> Number:
        """The value of a window that no input has: unknown."""
        return None

    def open_windows(
        self, inputs: Sequence[KpiState], windows: Sequence[Sequence[WindowValue]]
    ) -> list[WindowValue]:
        """The open windows that have events, from the inputs' open windows (`windows`, by input)
        and from those that some inputs have closed already."""
        if self._waits:
            return []
        ready = InputWindows(inputs)
        for index, state in enumerate(inputs):
            for window in windows[index]:
                key = window.end_ms, self._dimensions.ours(index, window.dimensions)
                theirs = self._dimensions.in_common_order(index, window.dimensions)
                ready.put(key, theirs, index, (window.value, window.events))
            for key, theirs, waiting in self._unread(index, state):
                if self.frontier_ms is None or key[0] > self.frontier_ms:
                    ready.put(key, theirs, index, waiting)
        wanted: list[_Window] = []
        ends: list[int] = []
        for end, dimensions in ready.in_order():
            series = self.series.get(dimensions)
            rows = ready.rows((end, dimensions), self._members.lost(inputs, series))
            if events_of(rows):
                ends.append(end)
                wanted.append(self._window((end, dimensions), rows, ready))
        return [
            self._value(end, window, value, is_open=True)
            for end, window, value in zip(ends, wanted, self._values(wanted), strict=True)
        ]


KpiState = BaseKpi | DerivedKpi
