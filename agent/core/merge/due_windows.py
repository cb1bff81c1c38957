"""Collects the windows that one step closes or evaluates, and evaluates them together at its end.

Computing the values of many windows at once costs little more than computing one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby

from agent.core.evaluate.current_values import CurrentSpan
from agent.core.evaluate.evaluator import Evaluator
from agent.core.evaluate.values import WindowStates
from agent.core.merge.step import Step
from agent.core.merge.window_values import WindowValues
from agent.core.model.results import WindowValue
from agent.core.state.series import Series


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
