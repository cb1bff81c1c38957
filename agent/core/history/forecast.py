"""`breach_in('3 days')`: whether a series will miss its target soon if its trend continues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agent.core.history.calendar_spans import slot_of, slots_of
from agent.core.history.robust_stats import slope, thinned, trending
from agent.core.history.seasonal import SEASON_MS, Season
from agent.core.history.trend import LEAST_POINTS
from agent.core.model.history import Feature, FeatureContext, Floats
from agent.core.model.windows import DAY_MS, Window, ends_between

MOST_WINDOWS_AHEAD = 2000
"""A forecast with a season computes each future window, but not more than this."""


@dataclass(frozen=True, slots=True)
class Breach(Feature):
    """Whether the value is beyond its bound now, or will be within `within_ms`.

    The forecast is the Theil–Sen line over the span if the Mann–Kendall test finds a trend, and
    otherwise the median. With a season, the medians of the slots (hours of the day or week) are
    subtracted before fitting the line, and added again for each future window. `bound` None: the
    bounds of the series' target.
    """

    within_ms: int
    span_ms: int
    season: Season | None
    bound: tuple[float | None, float | None] | None
    zone: str
    is_condition: ClassVar[bool] = True

    def needs_ms(self, window: Window) -> int:
        """The span of the history."""
        return self.span_ms

    def compute(self, context: FeatureContext) -> float | None:
        """1 or 0. None without a value, a bound, or half of the history."""
        least, most = self.bound or (context.least, context.most)
        if context.value is None or (least is None and most is None):
            return None
        if _beyond(np.array([context.value]), least, most):
            return 1.0
        days, values = context.disjoint_values(self.span_ms)
        if len(values) < LEAST_POINTS:
            return None
        if -float(days[0]) * DAY_MS < self.span_ms / 2 - context.window.span_ms:
            return None
        return float(_beyond(self._ahead(context, days, values), least, most))

    def _ahead(self, context: FeatureContext, days: Floats, values: Floats) -> Floats:
        """The forecast of future windows; without a season, its first and last value."""
        if self.season is None:
            steep, height = self._line(days, values)
            # A line has its extremes at both ends.
            return np.array([height, height + steep * self.within_ms / DAY_MS])
        slots = slots_of(context.end_ms + days * DAY_MS, self.season, self.zone)
        usual = {slot: float(np.median(values[slots == slot])) for slot in set(slots.tolist())}
        residuals = values - np.array([usual[slot] for slot in slots.tolist()])
        # A slot's median is its level in the middle of the history; the line adds the trend since.
        steep, height = self._line(days, residuals)
        middle = float(np.median(values))
        ahead = []
        for end in ends_between(context.window, context.end_ms, context.end_ms + self.within_ms):
            slot = slot_of(end, self.season, self.zone)
            ahead.append(usual.get(slot, middle) + height + steep * (end - context.end_ms) / DAY_MS)
            if len(ahead) == MOST_WINDOWS_AHEAD:
                break
        return np.array(ahead)

    def _line(self, days: Floats, values: Floats) -> tuple[float, float]:
        days, values = thinned(days, values)
        if trending(values):
            return slope(days, values)
        return 0.0, float(np.median(values))


def _beyond(values: Floats, least: float | None, most: float | None) -> bool:
    return bool(
        (least is not None and (values < least).any())
        or (most is not None and (values > most).any())
    )


def default_span_ms(within_ms: int, season: Season | None) -> int:
    """The default history of a forecast: four times the time that it looks ahead, and at least four
    seasons."""
    return max(4 * within_ms, 4 * SEASON_MS[season] if season else 0)
