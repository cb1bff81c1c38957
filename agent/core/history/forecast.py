"""`breach_in('3 days')`: whether a series will leave its target soon, if it goes on like this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from agent.core.history.calendar_spans import DAY_MS, slot_of
from agent.core.history.robust_stats import slope, thinned, trending
from agent.core.history.seasonal import SEASON_MS, Season
from agent.core.history.trend import LEAST_POINTS
from agent.core.model.history import UNKNOWN, FeatureContext, Floats
from agent.core.model.windows import Window, ends_between

MOST_WINDOWS_AHEAD = 2000
"""A forecast with a season looks at each window to come: not farther ahead than this."""


@dataclass(frozen=True, slots=True)
class Breach:
    """Whether the value is beyond its bound now, or will be within `within_ms`.

    By trend: the Theil–Sen line over the span, where the Mann–Kendall test finds a trend; else the
    series is taken to stay where it is. With a season, the line is drawn through what the medians
    of the slots leave of the values, and the slot of each window to come is put back on it.
    `bound` None: the bounds of the series' target.
    """

    text: str
    within_ms: int
    span_ms: int
    season: Season | None
    bound: tuple[float | None, float | None] | None
    zone: str
    depends_on_alerts: ClassVar[bool] = False

    def describe(self, result: float | None, memory: dict[str, Any]) -> str:
        """Yes or no."""
        return UNKNOWN if result is None else "yes" if result else "no"

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
        """The values expected at the windows to come."""
        if self.season is None:
            steep, height = self._line(days, values)
            # A line is at its farthest at the end.
            return np.array([height, height + steep * self.within_ms / DAY_MS])
        slots = _slots_of(context.end_ms + days * DAY_MS, self.season, self.zone)
        usual = {slot: float(np.median(values[slots == slot])) for slot in set(slots.tolist())}
        left = values - np.array([usual[slot] for slot in slots.tolist()])
        # A slot's median is about the middle of the history: the line through what is left is not.
        steep, height = self._line(days, left)
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


def _slots_of(ends: Floats, season: Season, zone: str) -> NDArray[np.int16]:
    return np.fromiter((slot_of(round(end), season, zone) for end in ends), np.int16, len(ends))


def _beyond(values: Floats, least: float | None, most: float | None) -> bool:
    return bool(
        (least is not None and (values < least).any())
        or (most is not None and (values > most).any())
    )


def default_span_ms(within_ms: int, season: Season | None) -> int:
    """The history that a forecast is made of if none is named: four times as long as it looks
    ahead, with a season at least four of them."""
    return max(4 * within_ms, 4 * SEASON_MS[season] if season else 0)
