"""`pace`: a period's running total against where it should be by now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from agent.core.history.calendar_spans import after_days, days_between
from agent.core.model.history import FeatureContext, plain_number
from agent.core.model.windows import CalendarUnit, CalendarWindow, Window

LEAST_SHARE = 0.05
"""A projection of less than a twentieth of a period says more about chance than about its end."""

Ask = Literal["pace", "projected", "to_date"]


@dataclass(frozen=True, slots=True)
class Pace:
    """The total of the period so far (`to_date`), where it will end (`projected`), or the first as
    a share of what it should be by now (`pace`).

    What share of a period's total is due by now: by a straight line the share of its days that have
    gone by; by the shape of past periods, the mean of the shares that each of the last `shape` of
    them had reached when the same share of its days had gone by. Days are those of the zone: one of
    23 hours is due as much as any other.
    """

    text: str
    ask: Ask
    unit: CalendarUnit
    zone: str
    target: float
    shape: int
    depends_on_alerts: ClassVar[bool] = False

    def describe(self, result: float | None, memory: dict[str, Any]) -> str:
        """A plain number."""
        return plain_number(result)

    def needs_ms(self, window: Window) -> int:
        """The period and those whose shape is followed."""
        return (self.shape + 1) * CalendarWindow(self.unit, self.zone).span_ms + window.span_ms

    def compute(self, context: FeatureContext) -> float | None:
        """None before the series has seen a whole period begin, in its first twentieth, and
        while a past period that gives the shape is not known."""
        period = CalendarWindow(self.unit, self.zone)
        start = period.pane_start(context.end_ms - 1)
        end = period.first_end_after(start)
        total = self._total(context, start, context.end_ms)
        if total is None or self.ask == "to_date":
            return total
        gone = days_between(start, context.end_ms, self.zone)
        whole = days_between(start, end, self.zone)
        due = (gone, whole) if not self.shape else self._due(context, period, start, gone / whole)
        if due is None or due[0] < LEAST_SHARE * due[1]:
            return None
        if self.ask == "projected":
            return _settled(total * due[1] / due[0])
        return _settled(total * due[1] / (due[0] * self.target)) if self.target else None

    def _total(self, context: FeatureContext, start_ms: int, end_ms: int) -> float | None:
        """The sum of the windows within `[start, end)`; None if the series is younger."""
        past = context.past
        places = context.disjoint_windows(context.end_ms - start_ms)
        places = places[past.ends[places] <= end_ms]
        known = context.first_ms <= start_ms or (
            len(places) > 0 and context.window.start_of(int(past.ends[places[0]])) <= start_ms
        )
        return float(np.nansum(past.published[places])) if known else None

    def _due(
        self, context: FeatureContext, period: CalendarWindow, start_ms: int, elapsed: float
    ) -> tuple[float, float] | None:
        """What the last periods had reached at the same share of their days, of what in all."""
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


def _settled(number: float) -> float:
    """Without what adding decimals leaves in the last digits: seven times 0.1 is what seven days
    should bring."""
    return float(f"{number:.12g}")
