"""Seals slices: merges the partials of all sources into the panes of their series."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from agent.core.aggregate.aggregator import Aggregator
from agent.core.evaluate.evaluator import Evaluator
from agent.core.merge.due_windows import SeriesTimer
from agent.core.merge.live_series import LiveSeries
from agent.core.merge.slices import SliceKey, UnsealedSlices
from agent.core.merge.step import Step
from agent.core.merge.unsettled import UnsettledPartials
from agent.core.model.kpis import Dimensions
from agent.core.state.series import State

PaneStates = dict[Dimensions, tuple[int, list[State]]]
"""By series: the end of its last slice with events (0: none), and the states of all its slices."""


class Sealing:
    """Seals the slices of one KPI that end by a frontier, in the order of their ends."""

    def __init__(
        self,
        evaluator: Evaluator,
        aggregator: Aggregator,
        series: LiveSeries,
        timer: SeriesTimer,
        slices: UnsealedSlices,
        unsettled: UnsettledPartials,
    ) -> None:
        self._absences = evaluator.absences
        self._slice_ms = evaluator.kpi.slice_ms
        self._aggregator = aggregator
        self._series = series
        self._timer = timer
        self._slices = slices
        self._unsettled = unsettled
        self._queue: deque[tuple[int, list[SliceKey]]] = deque()
        self._all_settled = False

    def start(self, frontier_ms: int) -> None:
        """Queue the slices that end by the frontier."""
        self._queue = deque(self._slices.ended(frontier_ms))
        self._all_settled = bool(self._queue) and self._unsettled.all_settled_at(frontier_ms)

    @property
    def next_start_ms(self) -> int | None:
        """The start of the next slice; None: all are sealed."""
        return self._queue[0][0] if self._queue else None

    @property
    def next_end_ms(self) -> int | None:
        """The end of the next slice; None: all are sealed."""
        return self._queue[0][0] + self._slice_ms if self._queue else None

    def seal_next(self, step: Step) -> None:
        """Seal the next slices, up to the first instant at which a series is due. They are merged
        together, unless absence rules evaluate every slice."""
        per_slice = bool(self._absences.per_series)
        panes: dict[int, PaneStates] = {}
        last_event_ms: dict[Dimensions, int] = {}
        start_ms = end_ms = 0
        while self._is_next_due():
            unsettled = [key for key in self._queue[0][1] if key.origin or not self._all_settled]
            if unsettled and panes:
                break
            start_ms, keys = self._queue.popleft()
            end_ms = start_ms + self._slice_ms
            for key in unsettled:
                last_event_ms |= dict.fromkeys(self._seal_unsettled(key, start_ms, step), end_ms)
            for key in keys:
                if key not in unsettled:
                    self._collect(key, start_ms, end_ms, panes.setdefault(key.pane_ms, {}))
            if per_slice or unsettled:
                break
        for pane_ms, states in panes.items():
            self._seal_pane(pane_ms, end_ms, states, last_event_ms, step)
        for dimensions, event_ms in last_event_ms.items():
            series = self._series.live[dimensions]
            if per_slice:
                step.transitions += self._absences.evaluate(series, event_ms, event_ms, start_ms)
            series.had_event(event_ms)

    def _is_next_due(self) -> bool:
        """Whether the next slice ends before a series is due."""
        end_ms = self.next_end_ms
        due_ms = self._timer.due_ms if self._series.live else None
        return end_ms is not None and (due_ms is None or end_ms <= due_ms)

    def _collect(self, key: SliceKey, start_ms: int, end_ms: int, states_of: PaneStates) -> None:
        """Remove a slice and add its states to those of its pane."""
        for dimensions, state in self._slices.pop(key).states():
            known = states_of.get(dimensions)
            if known is None:
                if dimensions not in self._series.live:
                    self._series.begin(dimensions, start_ms)
                states_of[dimensions] = end_ms if state[0] else 0, [state]
                continue
            known[1].append(state)
            if state[0] and end_ms > known[0]:
                states_of[dimensions] = end_ms, known[1]

    def _seal_pane(
        self,
        pane_ms: int,
        end_ms: int,
        states_of: PaneStates,
        last_event_ms: dict[Dimensions, int],
        step: Step,
    ) -> None:
        """Merge states into a pane of their series, and note the last slices with events."""
        for dimensions, (event_ms, states) in states_of.items():
            series = self._series.live[dimensions]
            if series.unsettled:
                self._unsettled.settle(series, self._slices)
            pane = series.panes.get(pane_ms)
            state = self._aggregator.merge_all(states if pane is None else [pane, *states])
            series.seal(pane_ms, state, end_ms)
            step.changed.add(dimensions)
            if event_ms > last_event_ms.get(dimensions, 0):
                last_event_ms[dimensions] = event_ms

    def _seal_unsettled(self, key: SliceKey, start_ms: int, step: Step) -> Iterator[Dimensions]:
        """Seal a slice whose partials their sources may still replace, or that replaces sealed
        partials. Yields the series with new events."""
        end_ms = start_ms + self._slice_ms
        for partial, dimensions, state in self._unsettled.partials(key, self._slices.pop(key)):
            series = self._series.live.get(dimensions) or self._series.begin(dimensions, start_ms)
            step.changed.add(dimensions)
            if self._unsettled.seal(series, partial, state, end_ms):
                yield dimensions
