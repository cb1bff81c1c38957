"""Whether a KPI has any events at all, for the absence rules that watch it as a whole."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.merge.base_kpi import BaseKpi
from agent.core.model.results import Transition
from agent.core.state.series import Series


class KpiAbsence:
    """What is watched of a base KPI as a whole: whether any of its series has events.

    One state partition is the reporter. Where rules depend on it, the others watch it, too: every
    partition receives which slices hold events, wherever.
    """

    def __init__(self, state: BaseKpi, is_reporter: bool) -> None:
        self.state = state
        self.is_reporter = is_reporter
        self.series: Series | None = None
        self.changed = False  # the series, in the last advance
        self._slices: dict[int, int] = {}  # that hold events: start (ms) to position of the frame
        self._transitions: list[Transition] = []

    @property
    def first_position(self) -> int | None:
        """The first frame that names a slice whose time has not come yet."""
        return min(self._slices.values(), default=None)

    def restore(self, series: Series) -> None:
        """Continue from a row."""
        self.series = series

    def note(self, slices: Iterable[int], position: int, is_news: bool) -> None:
        """Note slices (starts, ms) that hold events, anywhere. `is_news`: of records that no frame
        covered before; those of a sealed slice are events of the oldest that is not."""
        frontier_ms, span = self.state.frontier_ms, self.state.kpi.slice_ms
        oldest_ms = None if frontier_ms is None else frontier_ms - frontier_ms % span
        for start in slices:
            at = max(start, oldest_ms) if is_news and oldest_ms is not None else start
            self._slices.setdefault(at, position)

    def drain(self) -> list[Transition]:
        """The transitions of the last advance."""
        transitions, self._transitions = self._transitions, []
        return transitions

    def advance(self, frontier_ms: int) -> None:
        """Evaluate the silence up to the frontier, one event after the other."""
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
