"""Evaluates the `per: kpi` absence rules of a base KPI: whether any of its series has events."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.merge.base_kpi import BaseKpi
from agent.core.model.results import Transition
from agent.core.state.series import Series


class KpiAbsence:
    """The `per: kpi` rules of one base KPI in one state partition.

    Frames name the slices with events of all series (`Frame.active`) to every state partition. One
    partition is the reporter. If other rules depend on these, all partitions evaluate them.
    """

    def __init__(self, state: BaseKpi, is_reporter: bool) -> None:
        self.state = state
        self.is_reporter = is_reporter
        self.series: Series | None = None
        self.changed = False  # whether the last advance changed the series
        self._slices: dict[int, int] = {}  # with events: start (ms) to position of the frame
        self._transitions: list[Transition] = []

    @property
    def first_position(self) -> int | None:
        """The position of the first frame that names a slice beyond the frontier."""
        return min(self._slices.values(), default=None)

    def restore(self, series: Series) -> None:
        """Continue from a row."""
        self.series = series

    def note(self, slices: Iterable[int], position: int, is_new: bool) -> None:
        """Note slices (starts, ms) with events. `is_new`: no earlier frame covered their records,
        so a sealed slice counts as the oldest that is not sealed."""
        frontier_ms, span = self.state.frontier_ms, self.state.kpi.slice_ms
        oldest_ms = None if frontier_ms is None else frontier_ms - frontier_ms % span
        for start in slices:
            at = max(start, oldest_ms) if is_new and oldest_ms is not None else start
            self._slices.setdefault(at, position)

    def drain(self) -> list[Transition]:
        """The transitions of the last advance."""
        transitions, self._transitions = self._transitions, []
        return transitions

    def advance(self, frontier_ms: int) -> None:
        """Evaluate the rules up to the frontier, slice by slice."""
        self.changed = False
        evaluator, span = self.state.evaluator, self.state.kpi.slice_ms
        for start in sorted(s for s in self._slices if s + span <= frontier_ms):
            del self._slices[start]
            end = start + span
            if self.series is None:
                self.series = Series.new(
                    self.state.kpi.name, self.state.kpi.fingerprint, None, start
                )
            if end > self.series.last_event_ms:
                self._transitions += evaluator.absences.evaluate(self.series, end, end, start)
                self.series.had_event(end)
                self.changed = True
        if self.series is not None:
            settled_ms = frontier_ms - frontier_ms % span
            transitions = evaluator.absences.evaluate(
                self.series, self.series.last_event_ms, settled_ms
            )
            self._transitions += transitions
            self.changed = self.changed or bool(transitions)
