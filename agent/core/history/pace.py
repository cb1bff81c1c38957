"""`pace`: the running total of a period compared with its target by now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agent.core.history.calendar_spans import after_days, days_between
from agent.core.model.history import Feature, FeatureContext
from agent.core.model.windows import CalendarUnit, CalendarWindow, Window

LEAST_SHARE = 0.05
"""The minimum share of a period's total that must be due for a projection: earlier, it is noise."""

Ask = Literal["pace", "projected", "to_date"]


@dataclass(frozen=True, slots=True)
class Pace(Feature):
    """The total of the period so far (`to_date`), its projection to the end of the period
    (`projected`), or the total so far relative to what is due by now (`pace`).

    The share of the target that is due by now is the share of the period's days that have elapsed.
    With a `shape`, it is the mean share of their totals that the last `shape` periods had reached
    after the same share of their days. Days are those of the zone, each with equal weight: a day of
    23 hours counts as one.
    """

    ask: Ask
    unit: CalendarUnit
    zone: str
    target: float
    shape: int

    def needs_ms(self, window: Window) -> int:
        """The period, and the earlier ones that define the shape."""
        return (self.shape + 1) * CalendarWindow(self.unit, self.zone).span_ms + window.span_ms

    def compute(self, context: FeatureContext) -> float | None:
        """None if the series began after the period did, until a twentieth of the total is due, and
        while an earlier period for the shape is missing."""
        period = CalendarWindow(self.unit, self.zone)
        start = period.pane_start(context.end_ms - 1)
        end = period.first_end_after(start)
        total = self._total(context, start, context.end_ms)
        if total is None or self.ask == "to_date":
            return total
        elapsed = days_between(start, context.end_ms, self.zone)
        whole = days_between(start, end, self.zone)
        due: tuple[float, float] | None = (elapsed, whole)
        if self.shape:
            due = self._due_by_shape(context, period, start, elapsed / whole)
        if due is None or due[0] < LEAST_SHARE * due[1]:
            return None
        if self.ask == "projected":
            return _rounded(total * due[1] / due[0])
        return _rounded(total * due[1] / (due[0] * self.target)) if self.target else None

    def _total(self, context: FeatureContext, start_ms: int, end_ms: int) -> float | None:
        """The sum of the windows within `[start, end)`; None if the series began later."""
        past = context.past
        indices = context.disjoint_windows(context.end_ms - start_ms)
        indices = indices[past.ends[indices] <= end_ms]
        known = context.first_ms <= start_ms or (
            len(indices) > 0 and context.window.start_of(int(past.ends[indices[0]])) <= start_ms
        )
        return float(np.nansum(past.published[indices])) if known else None

    def _due_by_shape(
        self, context: FeatureContext, period: CalendarWindow, start_ms: int, elapsed: float
    ) -> tuple[float, float] | None:
        """The share that is due by the shape of earlier periods, as a fraction: the sum of the
        shares that they had reached after the same share of their days, and their number."""
        shares = []
        for _ in range(self.shape):
            end_ms, start_ms = start_ms, period.start_of(start_ms)
            whole = self._total(context, start_ms, end_ms)
            days = elapsed * days_between(start_ms, end_ms, self.zone)
            then = after_days(start_ms, days, self.zone)
            part = self._total(context, start_ms, then)
            if whole is None or part is None or whole <= 0:
                return None
            shares.append(part / whole)
        return sum(shares), len(shares)


def _rounded(number: float) -> float:
    """To 12 significant digits, without the rounding errors of sums: seven times 0.1 is 0.7."""
    return float(f"{number:.12g}")
