"""When the series of a base KPI next have anything to do, so that empty time costs nothing.

Windows close at their ends; rules on current values are evaluated at the ends of slices.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agent.core.model.kpis import Kpi
from agent.core.state.series import Series


class Schedule:
    """The schedule of one KPI. `due_ms`: no series has anything to do before; None: none has."""

    def __init__(self, kpi: Kpi, evaluates_current: bool) -> None:
        self.due_ms: int | None = None
        self._window = kpi.window
        self._slice_ms = kpi.slice_ms
        self._evaluates_current = evaluates_current

    def add(self, series: Series) -> None:
        """Note a series that begins."""
        due_ms = self._following(series.closed_ms)
        if self.due_ms is None or due_ms < self.due_ms:
            self.due_ms = due_ms

    def passed(self, last_ms: int, moved: bool, series: Collection[Series]) -> None:
        """Note that everything up to an instant is done; `moved`: some series had something to do,
        so that the next instant is that of all."""
        self.due_ms = self._following(last_ms) if moved else self._earliest_ms(series)

    def clear(self) -> None:
        """Note that there are no series."""
        self.due_ms = None

    def last_alike(self, instant: int, next_start_ms: int | None, frontier_ms: int) -> int:
        """Up to which instant every window stays what it is at this one: to the end of a window, or
        before the next slice with events, which starts at `next_start_ms`."""
        if not self._evaluates_current:
            return instant
        ends = [
            self._window.first_end_after(instant - 1),
            frontier_ms - frontier_ms % self._slice_ms,
        ]
        if next_start_ms is not None:
            ends.append(next_start_ms)  # the end of the slice before
        return max(instant, min(ends))

    def stride_end_ms(
        self, frontier_ms: int, slice_ends_ms: Sequence[int], series: int, windows: int
    ) -> int:
        """The instant up to which the frontier may move so that about so many windows of so many
        series close or are evaluated, one instant of them at least; `frontier_ms` where there are
        fewer. `slice_ends_ms`: of slices with events, ascending."""
        firsts = [
            *slice_ends_ms[:1],
            *([self.due_ms] if self.due_ms is not None and series else []),
        ]
        first_ms = min(firsts, default=None)
        if first_ms is None or first_ms >= frontier_ms:
            return frontier_ms
        instants = max(windows // max(series, 1), 1)
        end_ms = first_ms + (instants - 1) * self._window.step_ms
        if self._evaluates_current:
            # They are evaluated wherever a slice with events ends, too.
            end_ms = min([end_ms, *slice_ends_ms[instants - 1 : instants]])
        return min(frontier_ms, end_ms)

    def slice_end(self, at_ms: int) -> int:
        """The first end of a slice after an instant."""
        return at_ms - at_ms % self._slice_ms + self._slice_ms

    def _following(self, instant: int) -> int:
        """The next instant at which a series that is as far as this one has anything to do."""
        end = self._window.first_end_after(instant)
        return min(end, self.slice_end(instant)) if self._evaluates_current else end

    def _earliest_ms(self, series: Collection[Series]) -> int | None:
        """The first instant at which any series has anything to do."""
        closed_ms = min((s.closed_ms for s in series), default=None)
        if closed_ms is None:
            return None
        end = self._window.first_end_after(closed_ms)
        if not self._evaluates_current:
            return end
        return min(end, self.slice_end(min(s.evaluated_ms for s in series)))
