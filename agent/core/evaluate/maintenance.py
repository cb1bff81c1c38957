"""Maintenance: windows on which rules are not evaluated, and time that does not count as silence.

A window is in maintenance if it overlaps any of it: the effect of a ten-minute outage on the value
of an hour is unknown. Its value is still published, with the name of the maintenance.

Maintenance is a function of the plan and of event time, so it also applies to windows that closed
before it was declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.core.model.kpis import Dimensions, Kpi, matches
from agent.core.model.plan import Maintenance, Plan
from agent.core.model.schedules import Period


class MaintenanceCalendar:
    """The maintenance of one KPI with the dimensions `by`.

    In all methods, `dimensions` None is the KPI as a whole, to which only maintenance without
    `match` applies.
    """

    def __init__(self, maintenance: Iterable[Maintenance], by: Sequence[str]) -> None:
        self.all = tuple(maintenance)
        self._by = by
        # The last result: thousands of series share their windows.
        self._last: tuple[Period, tuple[Maintenance, ...]] = (0, 0), ()

    def covering(self, dimensions: Dimensions | None, start_ms: int, end_ms: int) -> str | None:
        """The name of the maintenance that a window `[start, end)` overlaps (of several, the first
        declared); None: there is none."""
        if not self.all:
            return None
        window, matching = self._last
        if window != (start_ms, end_ms):
            matching = tuple(m for m in self.all if m.schedule.first(start_ms, end_ms))
            self._last = (start_ms, end_ms), matching
        return next((m.name for m in matching if self._applies(m, dimensions)), None)

    def periods(
        self, dimensions: Dimensions | None, start_ms: int, end_ms: int
    ) -> list[tuple[Maintenance, Period]]:
        """The maintenance periods that overlap `[start, end)`, in the order of their starts."""
        periods = [
            (maintenance, period)
            for maintenance in self._applicable(dimensions)
            for period in maintenance.schedule.periods(start_ms, end_ms)
        ]
        return sorted(periods, key=lambda item: item[1])

    def after(self, dimensions: Dimensions | None, from_ms: int, span_ms: int, upto_ms: int) -> int:
        """The instant at which `span_ms` have elapsed since `from_ms`, not counting maintenance.

        Exact up to `upto_ms`; a later result only means that it is later than that.
        """
        at, end = from_ms, from_ms + span_ms
        while self.all and end <= upto_ms:
            period = self._first_period(dimensions, at, end)
            if period is None:
                break
            stop = max(period[1], at)
            end += stop - max(period[0], at)
            at = stop
        return end

    def before(self, dimensions: Dimensions | None, until_ms: int, span_ms: int) -> int:
        """The latest instant outside maintenance from which `span_ms` elapse until `until_ms`, not
        counting maintenance."""
        at, start = until_ms, until_ms - span_ms
        while self.all and start < at:
            period = self._last_period(dimensions, start, at)
            if period is None:
                break
            stop = min(period[0], at)
            start -= min(period[1], at) - stop
            at = stop
        return start

    def _first_period(
        self, dimensions: Dimensions | None, start_ms: int, end_ms: int
    ) -> Period | None:
        applicable = self._applicable(dimensions)
        return min(
            (p for m in applicable if (p := m.schedule.first(start_ms, end_ms))), default=None
        )

    def _last_period(
        self, dimensions: Dimensions | None, start_ms: int, end_ms: int
    ) -> Period | None:
        periods = (period for _, period in self.periods(dimensions, start_ms, end_ms))
        return max(periods, key=lambda p: p[1], default=None)

    def _applicable(self, dimensions: Dimensions | None) -> Iterator[Maintenance]:
        return (m for m in self.all if self._applies(m, dimensions))

    def _applies(self, maintenance: Maintenance, dimensions: Dimensions | None) -> bool:
        if not maintenance.match:
            return True
        return dimensions is not None and matches(self._by, dimensions, maintenance.match)


def maintenance_calendar(plan: Plan, kpi: Kpi) -> MaintenanceCalendar:
    """The maintenance calendar of a KPI."""
    return MaintenanceCalendar((m for m in plan.maintenance.values() if kpi.name in m.kpis), kpi.by)
