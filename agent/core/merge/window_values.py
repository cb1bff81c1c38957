"""Computes the windows of a base KPI from the panes of its series."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from agent.core.aggregate.aggregator import Aggregator
from agent.core.evaluate.evaluator import Evaluator
from agent.core.evaluate.values import WindowStates
from agent.core.merge.missed_records import MissedForKpi
from agent.core.model.kpis import Kpi
from agent.core.model.results import Number, WindowValue
from agent.core.model.windows import previous_start
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
        made = []
        for (series, end), pair, value in zip(ends, states, values, strict=True):
            span = spans.get(end)
            if span is None:
                start = self._kpi.window.start_of(end)
                span = spans[end] = start, self._missed.overlaps(start, end)
            dimensions, (start, is_incomplete) = series.dimensions or (), span
            hidden = hides(pair[0])
            made.append(
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
        return made

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
