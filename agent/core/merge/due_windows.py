"""When the series of a base KPI are due next, so that time without events costs nothing; and the
windows that are due in one step, evaluated together at its end.

A series is due at the ends of its windows and, if there are rules on current values, at the ends of
slices. Computing the values of many windows at once costs little more than computing one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby

from agent.core.evaluate.current_values import CurrentSpan
from agent.core.evaluate.evaluator import Evaluator
from agent.core.evaluate.values import WindowStates
from agent.core.merge.step import Step
from agent.core.merge.window_values import WindowValues
from agent.core.model.kpis import Kpi
from agent.core.model.results import WindowValue
from agent.core.state.series import Series


class SeriesTimer:
    """The timer of one KPI's series, in event time. `due_ms`: no series is due earlier; None: there
    are no series."""

    def __init__(self, kpi: Kpi, evaluates_current: bool) -> None:
        self.due_ms: int | None = None
        self._window = kpi.window
        self._slice_ms = kpi.slice_ms
        self._evaluates_current = evaluates_current

    def add(self, series: Series) -> None:
        """Add a series that begins."""
        due_ms = self._following(series.closed_ms)
        if self.due_ms is None or due_ms < self.due_ms:
            self.due_ms = due_ms

    def advance(self, last_ms: int, any_due: bool, series: Collection[Series]) -> None:
        """Note that everything up to an instant is done. `any_due`: some series was due, so that
        all series are due next at the same instant."""
        self.due_ms = self._following(last_ms) if any_due else self._earliest_ms(series)

    def clear(self) -> None:
        """Note that there are no series any more."""
        self.due_ms = None

    def last_same_ms(self, instant: int, next_start_ms: int | None, frontier_ms: int) -> int:
        """The last instant at which all open windows are the same as at this one: the end of the
        window, or the start of the next slice with events (`next_start_ms`)."""
        if not self._evaluates_current:
            return instant
        ends = [
            self._window.first_end_after(instant - 1),
            frontier_ms - frontier_ms % self._slice_ms,
        ]
        if next_start_ms is not None:
            ends.append(next_start_ms)  # which is the end of the slice before
        return max(instant, min(ends))

    def stride_end_ms(
        self, frontier_ms: int, slice_ends_ms: Sequence[int], series: int, windows: int
    ) -> int:
        """How far the frontier may advance so that about `windows` windows of `series` series close
        or are evaluated: at least one instant, at most `frontier_ms`. `slice_ends_ms`: the ends of
        slices with events, ascending."""
        firsts = [
            *slice_ends_ms[:1],
            *([self.due_ms] if self.due_ms is not None and series else []),
        ]
        first_ms = min(firsts, default=None)
        if first_ms is None or first_ms >= frontier_ms:
            return frontier_ms
        instants = max(windows // max(series, 1), 1)
        end_ms = first_ms + (instants - 1) * self._window.step_ms
        if self._evaluates_current:
            # Open windows are also evaluated at the end of each slice with events.
            end_ms = min([end_ms, *slice_ends_ms[instants - 1 : instants]])
        return min(frontier_ms, end_ms)

    def slice_end(self, at_ms: int) -> int:
        """The first end of a slice after an instant."""
        return at_ms - at_ms % self._slice_ms + self._slice_ms

    def _following(self, instant: int) -> int:
        """The instant at which a series that is done up to `instant` is due next."""
        end = self._window.first_end_after(instant)
        return min(end, self.slice_end(instant)) if self._evaluates_current else end

    def _earliest_ms(self, series: Collection[Series]) -> int | None:
        """The first instant at which any series is due."""
        closed_ms = min((s.closed_ms for s in series), default=None)
        if closed_ms is None:
            return None
        end = self._window.first_end_after(closed_ms)
        if not self._evaluates_current:
            return end
        return min(end, self.slice_end(min(s.evaluated_ms for s in series)))


class DueWindows:
    """The due windows of one KPI in one step."""

    def __init__(self, evaluator: Evaluator, values: WindowValues) -> None:
        self._evaluator = evaluator
        self._values = values
        self._window = evaluator.kpi.window
        self._closed: list[tuple[Series, int]] = []  # with the ends of the windows
        self._closed_states: list[WindowStates] = []
        # With the window's end, and the first and the last instant of the span.
        self._current: list[tuple[Series, int, int, int]] = []
        self._current_states: list[WindowStates] = []

    def close(self, closing: Iterable[Series], end_ms: int) -> None:
        """Close the windows of some series that end at an instant."""
        start_ms, oldest_ms = self._window.start_of(end_ms), self._values.oldest_pane_ms(end_ms)
        for series in closing:
            self._closed.append((series, end_ms))
            self._closed_states.append(self._values.states(series, start_ms, end_ms))
            series.close(end_ms)
            series.drop_panes(oldest_ms)
            if series.unsettled:
                series.drop_unsettled(oldest_ms)

    def note_current(self, series: Series, first_ms: int, last_ms: int) -> None:
        """Note the open window of a series for rules on current values: it is the same at all ends
        of slices from `first_ms` to `last_ms`."""
        end_ms = self._window.first_end_after(last_ms - 1)
        self._current.append((series, end_ms, first_ms, last_ms))
        start_ms = self._window.start_of(end_ms)
        self._current_states.append(self._values.states(series, start_ms, end_ms))
        series.evaluated(last_ms)

    def evaluate(self, step: Step, among: Collection[Series], is_read: bool) -> None:
        """Evaluate the collected windows. `among`: all series of the KPI; `is_read`: other KPIs
        read its windows."""
        windows = self._values.windows(self._closed, self._closed_states)
        closed = [(series, w) for (series, _), w in zip(self._closed, windows, strict=True)]
        windows = self._values.windows(
            [(s, end) for s, end, _, _ in self._current], self._current_states
        )
        spans = [
            CurrentSpan(series, window, first_ms, last_ms)
            for (series, _, first_ms, last_ms), window in zip(self._current, windows, strict=True)
        ]
        for some_spans, some_closed in self._in_order(spans, closed):
            for window, transitions in self._evaluator.current_values.evaluate(some_spans):
                step.transitions += transitions
                if transitions:
                    step.changed.add(window.dimensions)
            step.closed += self._evaluator.close_windows(some_closed, among)
        if is_read:
            for series, window in closed:
                series.keep(window.end_ms, window.value, window.events)

    def _in_order(
        self, spans: list[CurrentSpan], closed: list[tuple[Series, WindowValue]]
    ) -> Iterator[tuple[list[CurrentSpan], list[tuple[Series, WindowValue]]]]:
        """The windows to evaluate together: all, unless rules on current values read the history.
        It must then contain exactly the windows that closed before their instant."""
        if not self._evaluator.current_rules.has_features:
            yield spans, closed
            return
        rest = deque(spans)
        by_end = sorted(closed, key=lambda item: item[1].end_ms)
        for end_ms, windows in groupby(by_end, lambda item: item[1].end_ms):
            now: list[CurrentSpan] = []
            while rest and rest[0].last_ms <= end_ms:
                now.append(rest.popleft())
            yield now, list(windows)
        yield list(rest), []
