"""The value of a KPI over all its series, if it is the sum of their values."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import SeriesView, finite
from agent.core.model.text import value_text
from agent.export.web.pages.contribution import is_additive


class Totals:
    """Totals of the KPIs of one board. Whether a KPI is additive is computed once."""

    def __init__(self) -> None:
        self._additive: dict[str, tuple[Kpi, bool]] = {}

    def text(self, plan: Plan, kpi: Kpi, views: Sequence[SeriesView]) -> str:
        """The total of the last window that all series have closed, for people; "" if a KPI is not
        additive, has one series, or hides small groups, whose values would be missing."""
        if len(views) < 2 or kpi.minimum_people or not self._is_additive(plan, kpi):
            return ""
        values = _values(kpi, views)
        return value_text(sum(values), kpi.unit) if values else ""

    def _is_additive(self, plan: Plan, kpi: Kpi) -> bool:
        known = self._additive.get(kpi.name)
        if known is None or known[0] is not kpi:
            known = self._additive[kpi.name] = kpi, is_additive(plan, kpi.name)
        return known[1]


def _values(kpi: Kpi, views: Sequence[SeriesView]) -> list[float]:
    """The series' values in the newest window that all active series have closed.

    State partitions close a window one after the other: for a moment, some series are one window
    behind. Series that are further behind have no events any more.
    """
    ends = {view.closed.end_ms for view in views if view.closed is not None}
    newest = max(ends, default=0)
    common = min((end for end in ends if newest - end <= kpi.window.step_ms), default=0)
    at_end = (value for view in views for end, value in view.history[-3:] if end == common)
    return [value for value in map(finite, at_end) if value is not None]
