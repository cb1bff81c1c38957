"""Whether a KPI has any events at all, for the absence rules that watch it as a whole."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.merge.base_kpi import BaseKpi
from agent.core.model.results import Transition
from agent.core.state.series import Series, born


class KpiAbsence:
    """What is watched of a base KPI as a whole: whether any of its series has events.

    One state partition `tells`. Where rules of others look at it, they have one of their own: every
    partition is told which slices hold events, wherever.
    """

    def __init__(self, state: BaseKpi, tells: bool) -> None:
        self.state = state
        self.tells = tells
        self.series: Series | None = None
        self.slices: dict[int, int] = {}
        self.changed = False

    def take(self, slices: Iterable[int], position: int) -> None:
        """Note slices (starts, ms) that hold events, anywhere."""
        for start in slices:
            self.slices.setdefault(start, position)

    def advance(self, frontier_ms: int) -> list[Transition]:
        """Judge the silence up to the frontier, one event after the other."""
        self.changed = False
        evaluator, span = self.state.evaluator, self.state.kpi.slice_ms
        out: list[Transition] = []
        for start in sorted(s for s in self.slices if s + span <= frontier_ms):
            del self.slices[start]
            end = start + span
            if self.series is None:
                self.series = born(self.state.kpi.name, self.state.kpi.fingerprint, None, start)
            if end > self.series.last_event_ms:
                out += evaluator.evaluate_absence(self.series, end, end, start)
                self.series.last_event_ms = end
                self.changed = True
        if self.series is not None:
            found = evaluator.evaluate_absence(
                self.series,
                self.series.last_event_ms,
                frontier_ms - frontier_ms % span,
            )
            out += found
            self.changed = self.changed or bool(found)
        return out
