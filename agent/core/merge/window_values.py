"""Computes the windows of a base KPI: from the panes of its series and, if they are open, from
unsealed slices, too."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.core.aggregate.aggregator import Aggregator
from agent.core.evaluate.evaluator import Evaluator
from agent.core.evaluate.values import WindowStates
from agent.core.merge.missed_records import MissedForKpi
from agent.core.merge.slices import UnsealedSlices
from agent.core.merge.unsettled import UnsettledPartials
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.results import Number, WindowValue
from agent.core.model.windows import ends_between, previous_start
from agent.core.state.series import PartialId, Series, State


class WindowValues:
    """Computes the windows of one KPI; pure."""

    def __init__(
        self, kpi: Kpi, aggregator: Aggregator, evaluator: Evaluator, missed: MissedForKpi
    ) -> None:
        self._kpi = kpi
        self._aggregator = aggregator
        self._evaluator = evaluator
        self._missed = missed
        self._has_retention = kpi.has_retention

    def windows(
        self,
        ends: Iterable[tuple[Series, int]],
        states: Sequence[WindowStates],
        is_open: bool = False,
    ) -> list[WindowValue]:
        """The windows of series with these ends, from their states."""
        name, maintenance_of = self._kpi.name, self._evaluator.maintenance.covering
        values = self._evaluator.values.evaluate_states(states)
        spans: dict[int, tuple[int, bool]] = {}  # many series, few ends
        hides = self._evaluator.values.hides
        windows = []
        for (series, end), pair, value in zip(ends, states, values, strict=True):
            span = spans.get(end)
            if span is None:
                start = self._kpi.window.start_of(end)
                span = spans[end] = start, self._missed.overlaps(start, end)
            dimensions, (start, is_incomplete) = series.dimensions or (), span
            hidden = hides(pair[0])
            windows.append(
                WindowValue(
                    name,
                    dimensions,
                    start,
                    end,
                    None if hidden else value,
                    0 if hidden else pair[0][0],
                    is_open,
                    maintenance_of(dimensions, start, end),
                    is_incomplete,
                    hidden,
                )
            )
        return windows

    def states(
        self, series: Series, start_ms: int, end_ms: int, without: Collection[PartialId] = ()
    ) -> WindowStates:
        """The state of a window and, for retention, that of the window before. `without`: unsettled
        partials to leave out."""
        state = self._over(series, start_ms, end_ms, without)
        if not self._has_retention:
            return state, None
        before_ms = previous_start(self._kpi.window, end_ms)
        return state, self._over(series, before_ms, start_ms, without)

    def oldest_pane_ms(self, end_ms: int) -> int:
        """The first pane that windows need if they end after an instant."""
        window = self._kpi.window
        oldest_ms = window.start_of(window.first_end_after(end_ms))
        return window.start_of(oldest_ms) if self._has_retention else oldest_ms

    def empty(self) -> Number:
        """The value of a window without events."""
        return self._evaluator.values.evaluate_states([(self._aggregator.empty(), None)])[0]

    def _over(
        self, series: Series, start_ms: int, end_ms: int, without: Collection[PartialId]
    ) -> State:
        panes = series.panes
        if series.unsettled:
            states = [s for pane, s in sorted(panes.items()) if start_ms <= pane < end_ms]
            states += [
                series.unsettled[partial]
                for partial in sorted(series.unsettled)
                if start_ms <= partial.pane_ms < end_ms and partial not in without
            ]
            return self._aggregator.merge_all(states)
        if not panes:
            return self._aggregator.empty()
        if len(panes) < 2:  # the usual case: a tumbling window is one pane
            states = [s for pane, s in panes.items() if start_ms <= pane < end_ms]
        else:
            states = [s for pane, s in sorted(panes.items()) if start_ms <= pane < end_ms]
        return self._aggregator.merge_all(states)


@dataclass(frozen=True, slots=True, eq=False)
class OpenWindows:
    """Reads the open windows of one KPI; changes nothing."""

    _kpi: Kpi
    _aggregator: Aggregator
    _series: Mapping[Dimensions, Series]
    _slices: UnsealedSlices
    _values: WindowValues
    _unsettled: UnsettledPartials

    def at(
        self, ends: Iterable[int], only: Collection[Dimensions] | None = None
    ) -> list[WindowValue]:
        """The open windows with these ends that have events; `only`: of these series."""
        windows: list[tuple[Series, int]] = []
        states: list[WindowStates] = []
        wanted = self._series if only is None else [d for d in only if d in self._series]
        replaced = self._unsettled.replaced(self._slices)
        merge = self._aggregator.merge_all
        for end in ends:
            start = self._kpi.window.start_of(end)
            now = self._slices.between(start, end, only)
            before: dict[Dimensions, list[State]] = {}
            if self._kpi.has_retention:
                earlier = previous_start(self._kpi.window, end)
                before = self._slices.between(earlier, start, only)
            for dimensions in wanted:
                series = self._series[dimensions]
                if end <= series.closed_ms:
                    continue
                state, previous = self._values.states(series, start, end, replaced)
                if unsealed := now.get(dimensions):
                    state = merge([state, *unsealed] if state[0] else unsealed)
                if not state[0]:
                    continue
                if previous is not None:
                    previous = merge([previous, *before.get(dimensions, ())])
                states.append((state, previous))
                windows.append((series, end))
        return self._values.windows(windows, states, is_open=True)

    def all(self, frontier_ms: int | None) -> list[WindowValue]:
        """All open windows that have events, in the order of their ends."""
        window = self._kpi.window
        starts = self._slices.starts_ms
        for series in self._series.values():
            starts.update(series.panes)
            starts.update(partial.pane_ms for partial in series.unsettled or ())
        ends: set[int] = set()
        for start in starts:
            ends.update(ends_between(window, start, window.last_end_over(start)))
        return self.at(sorted(e for e in ends if frontier_ms is None or e > frontier_ms))

    def current_end(self, frontier_ms: int | None) -> int | None:
        """The end of the window that views show as current: the first one after the watermark if it
        has events, otherwise the last one with events, which waits for late events."""
        newest_ms = self._slices.newest_ms
        if newest_ms is None:
            return None
        window = self._kpi.window
        if frontier_ms is None:
            return window.first_end_after(newest_ms)
        end = window.first_end_after(frontier_ms + self._kpi.lateness_ms)
        return end if newest_ms >= window.start_of(end) else window.last_end_over(newest_ms)
