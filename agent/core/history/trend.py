"""`trend('8 weeks')`: the slope of a series; `declining(4)`, `rising(4)`: monotonic runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from agent.core.history.robust_stats import slope, thinned, trending
from agent.core.model.history import Feature, FeatureContext
from agent.core.model.windows import DAY_MS, Window

LEAST_POINTS = 5
"""With fewer values no trend is significant at 5 %: of the 24 orders of four values, two are
monotonic by chance."""

_UNITS = ((172_800_000, "a day", 1), (7_200_000, "an hour", 24), (0, "a minute", 1440))
"""The unit of a slope in words: the minimum span (ms) of the trend, the unit, and units a day."""


@dataclass(frozen=True, slots=True)
class Trend(Feature):
    """The Theil–Sen slope over a span, per day; `relative`: as a share of the span's median value.

    0 if the Mann–Kendall test finds no trend at 5 %. Of overlapping windows, only disjoint ones
    count.
    """

    span_ms: int
    relative: bool

    def in_words(self, result: float, memory: dict[str, Any]) -> str:
        """A percentage or a plain number, per day, or per hour or minute for short spans."""
        _, unit, in_a_day = next(row for row in _UNITS if self.span_ms >= row[0])
        speed = result / in_a_day
        return f"{speed * 100:+.4g} % {unit}" if self.relative else f"{speed:+.4g} {unit}"

    def needs_ms(self, window: Window) -> int:
        """The span."""
        return self.span_ms

    def compute(self, context: FeatureContext) -> float | None:
        """None without a value, if the history covers less than half of the span, or for a relative
        slope if the median is 0."""
        days, values = context.disjoint_values(self.span_ms)
        if context.value is None or len(values) < LEAST_POINTS:
            return None
        if -float(days[0]) * DAY_MS < self.span_ms / 2 - context.window.span_ms:
            return None
        days, values = thinned(days, values)
        steep = slope(days, values)[0] if trending(values) else 0.0
        if not self.relative:
            return steep
        level = abs(float(np.median(values)))
        return steep / level if level > 0 else None


@dataclass(frozen=True, slots=True)
class Run(Feature):
    """Whether each of the last `windows` windows was lower (or higher) than the one before it."""

    direction: Literal["declining", "rising"]
    windows: int
    is_condition: ClassVar[bool] = True

    def needs_ms(self, window: Window) -> int:
        """All windows of the run, and the one before them."""
        return (self.windows + 2) * window.span_ms

    def compute(self, context: FeatureContext) -> float | None:
        """1 or 0; None if a value is missing."""
        indices = context.disjoint_windows(self.needs_ms(context.window))[-self.windows - 1 :]
        values = context.past.values[indices]
        if len(values) <= self.windows or np.isnan(values).any():
            return None
        steps = np.diff(values)
        return float((steps < 0).all() if self.direction == "declining" else (steps > 0).all())
