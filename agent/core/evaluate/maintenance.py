"""Maintenance: windows that rules are not evaluated on, and time that is no silence.

A window is in maintenance when any part of it is: nobody can say what an outage of ten minutes does
to the value of an hour. Its value is published all the same, with the name of the maintenance.

Maintenance is a function of the plan and of event time. So it also applies to windows that closed
before it was declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.core.model.kpis import Dimensions, Kpi, matches
from agent.core.model.plan import Maintenance, Plan
from agent.core.model.schedules import Period


class MaintenanceCalendar:
    """The maintenance of one KPI, whose series are by `by`.

    `dimensions` None: the KPI as a whole, which only maintenance of all its series applies to.
    """

    def __init__(self, maintenance: Iterable[Maintenance], by: Sequence[str]) -> None:
        self.all = tuple(maintenance)
        self._by = by
        # The last window, and its maintenance: thousands of series share their windows.
        self._last: tuple[Period, tuple[Maintenance, ...]] = (0, 0), ()

    def covering(self, dimensions: Dimensions | None, start_ms: int, end_ms: int) -> str | None:
        """The name of the maintenance that a window `[start, end)` is in; of several, the first
        that is declared."""
        if not self.all:
            return None
        asked, matching = self._last
        if asked != (start_ms, end_ms):
            matching = tuple(m for m in self.all if m.schedule.first(start_ms, end_ms))
            self._last = (start_ms, end_ms), matching
        return next((m.name for m in matching if self._is_of(m, dimensions)), None)

    def periods(
        self, dimensions: Dimensions | None, start_ms: int, end_ms: int
    ) -> list[tuple[Maintenance, Period]]:
        """The maintenance that overlaps `[start, end)`, in the order of its begin."""
        of = (m for m in self.all if self._is_of(m, dimensions))
        periods = [(m, period) for m in of for period in m.schedule.periods(start_ms, end_ms)]
        return sorted(periods, key=lambda item: item[1])

    def after(self, dimensions: Dimensions | None, from_ms: int, span_ms: int, upto_ms: int) -> int:
        """The instant at which a span has gone by since `from_ms`, not counting maintenance.

        Exact up to `upto_ms`; a later instant only says that it is later.
        """
        at, end = from_ms, from_ms + span_ms
        while self.all and end <= upto_ms:
            period = self._first(dimensions, at, end)
            if period is None:
                break
            stop = max(period[1], at)
            end += stop - max(period[0], at)
            at = stop
        return end

    def before(self, dimensions: Dimensions | None, until_ms: int, span_ms: int) -> int:
        """The instant from which on a span has gone by until `until_ms`, not counting maintenance:
        the latest such instant that is not in maintenance itself."""
        at, start = until_ms, until_ms - span_ms
        while self.all and start < at:
            period = self._final(dimensions, start, at)
            if period is None:
                break
            stop = min(period[0], at)
            start -= min(period[1], at) - stop
            at = stop
        return start

    def _first(self, dimensions: Dimensions | None, start_ms: int, end_ms: int) -> Period | None:
        of = (m for m in self.all if self._is_of(m, dimensions))
        periods = [p for m in of if (p := m.schedule.first(start_ms, end_ms))]
        return min(periods, default=None)

    def _final(self, dimensions: Dimensions | None, start_ms: int, end_ms: int) -> Period | None:
        of = (m for m in self.all if self._is_of(m, dimensions))
        periods = [p for m in of for p in m.schedule.periods(start_ms, end_ms)]
        return max(periods, key=lambda p: p[1], default=None)

    def _is_of(self, maintenance: Maintenance, dimensions: Dimensions | None) -> bool:
        if not maintenance.match:
            return True
        return dimensions is not None and matches(self._by, dimensions, maintenance.match)


def maintenance_calendar(plan: Plan, kpi: Kpi) -> MaintenanceCalendar:
    """The maintenance of a KPI's series."""
    return MaintenanceCalendar((m for m in plan.maintenance.values() if kpi.name in m.kpis), kpi.by)
