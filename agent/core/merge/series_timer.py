"""When the series of a base KPI are due next, so that time without events costs nothing.

A series is due at the ends of its windows and, if there are rules on current values, at the ends of
slices.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agent.core.model.kpis import Kpi
from agent.core.state.series import Series


class SeriesTimer:
    """The timer of one KPI's series, in event time. `due_ms`: no series is due earlier; None: there
    are no series."""

    def __init__(self, kpi: Kpi, evaluates_current: bool) -> None:
        self.due_ms: int | None = None
        self._window = kpi.window
        self._slice_ms = kpi.slice_ms
        self._evaluates_current = evaluates_current

    def add(self, series: Series) -> None:
        """Add a series that begins."""
        due_ms = self._following(series.closed_ms)
        if self.due_ms is None or due_ms < self.due_ms:
            self.due_ms = due_ms

    def advance(self, last_ms: int, any_due: bool, series: Collection[Series]) -> None:
        """Note that everything up to an instant is done. `any_due`: some series was due, so that
        all series are due next at the same instant."""
        self.due_ms = self._following(last_ms) if any_due else self._earliest_ms(series)

    def clear(self) -> None:
        """Note that there are no series any more."""
        self.due_ms = None

    def last_same_ms(self, instant: int, next_start_ms: int | None, frontier_ms: int) -> int:
        """The last instant at which all open windows are the same as at this one: the end of the
        window, or the start of the next slice with events (`next_start_ms`)."""
        if not self._evaluates_current:
            return instant
        ends = [
            self._window.first_end_after(instant - 1),
            frontier_ms - frontier_ms % self._slice_ms,
        ]
        if next_start_ms is not None:
            ends.append(next_start_ms)  # which is the end of the slice before
        return max(instant, min(ends))

    def stride_end_ms(
        self, frontier_ms: int, slice_ends_ms: Sequence[int], series: int, windows: int
    ) -> int:
        """How far the frontier may advance so that about `windows` windows of `series` series close
        or are evaluated: at least one instant, at most `frontier_ms`. `slice_ends_ms`: the ends of
        slices with events, ascending."""
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
            # Open windows are also evaluated at the end of each slice with events.
            end_ms = min([end_ms, *slice_ends_ms[instants - 1 : instants]])
        return min(frontier_ms, end_ms)

    def slice_end(self, at_ms: int) -> int:
        """The first end of a slice after an instant."""
        return at_ms - at_ms % self._slice_ms + self._slice_ms

    def _following(self, instant: int) -> int:
        """The instant at which a series that is done up to `instant` is due next."""
        end = self._window.first_end_after(instant)
        return min(end, self.slice_end(instant)) if self._evaluates_current else end

    def _earliest_ms(self, series: Collection[Series]) -> int | None:
        """The first instant at which any series is due."""
        closed_ms = min((s.closed_ms for s in series), default=None)
        if closed_ms is None:
            return None
        end = self._window.first_end_after(closed_ms)
        if not self._evaluates_current:
            return end
        return min(end, self.slice_end(min(s.evaluated_ms for s in series)))
