"""The open windows of a base KPI, including unsealed slices."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from agent.core.aggregate.aggregator import Aggregator
from agent.core.evaluate.values import WindowStates
from agent.core.merge.slices import UnsealedSlices
from agent.core.merge.unsettled import UnsettledPartials
from agent.core.merge.window_values import WindowValues
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.results import WindowValue
from agent.core.model.windows import ends_between, previous_start
from agent.core.state.series import Series, State


class OpenWindows:
    """Reads the open windows of one KPI; changes nothing."""

    def __init__(
        self,
        kpi: Kpi,
        aggregator: Aggregator,
        series: Mapping[Dimensions, Series],
        slices: UnsealedSlices,
        values: WindowValues,
        unsettled: UnsettledPartials,
    ) -> None:
        self._kpi = kpi
        self._aggregator = aggregator
        self._series = series
        self._slices = slices
        self._values = values
        self._unsettled = unsettled

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
