"""The windows that one step closes or evaluates, noted as time passes over them, then evaluated.

The values of many windows cost little more than those of one, so they are computed together at the
end of a step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby

from agent.core.evaluate.current_values import CurrentSpan
from agent.core.evaluate.evaluator import Evaluator
from agent.core.evaluate.values import Pair
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
        self._closed_pairs: list[Pair] = []
        # With the end, and the first and the last instant at which the window is as it is.
        self._current: list[tuple[Series, int, int, int]] = []
        self._current_pairs: list[Pair] = []

    def close(self, closing: Iterable[Series], end_ms: int) -> None:
        """Close the windows of some series that end now."""
        start_ms, oldest_ms = self._window.start_of(end_ms), self._values.oldest_pane_ms(end_ms)
        for series in closing:
            self._closed.append((series, end_ms))
            self._closed_pairs.append(self._values.pair(series, start_ms, end_ms))
            series.close(end_ms)
            series.drop_panes(oldest_ms)
            if series.unsettled:
                series.drop_unsettled(oldest_ms)

    def note_current(self, series: Series, first_ms: int, last_ms: int) -> None:
        """Note the window that is open just before some instants, for rules on current values."""
        end_ms = self._window.first_end_after(last_ms - 1)
        self._current.append((series, end_ms, first_ms, last_ms))
        start_ms = self._window.start_of(end_ms)
        self._current_pairs.append(self._values.pair(series, start_ms, end_ms))
        series.evaluated(last_ms)

    def evaluate(self, step: Step, among: Collection[Series], is_read: bool) -> None:
        """Evaluate what was noted. `among`: all series; `is_read`: KPIs over this one read its
        windows."""
        windows = self._values.of(self._closed, self._closed_pairs)
        closed = [(series, w) for (series, _), w in zip(self._closed, windows, strict=True)]
        windows = self._values.of([(s, end) for s, end, _, _ in self._current], self._current_pairs)
        spans = [
            CurrentSpan(series, window, first_ms, last_ms)
            for (series, _, first_ms, last_ms), window in zip(self._current, windows, strict=True)
        ]
        for some_spans, some_closed in self._in_turn(spans, closed):
            for window, transitions in self._evaluator.current_values.evaluate(some_spans):
                step.transitions += transitions
                if transitions:
                    step.changed.add(window.dimensions)
            step.closed += self._evaluator.close_windows(some_closed, among)
        if is_read:
            for series, window in closed:
                series.keep(window.end_ms, window.value, window.events)

    def _in_turn(
        self, spans: list[CurrentSpan], closed: list[tuple[Series, WindowValue]]
    ) -> Iterator[tuple[list[CurrentSpan], list[tuple[Series, WindowValue]]]]:
        """What is evaluated together. Where rules on current values look back, what they see must
        be the past of their own instant: the windows before it, and none that closes later."""
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
