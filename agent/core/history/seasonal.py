"""`seasonal_anomaly`: how far a value is from what is usual at this hour of the day or week.

The baseline of a slot (an hour of the local day or week) is the median of the values that earlier
windows had in it; its spread is their median absolute deviation, scaled to a standard deviation.
With few weeks of history that is a noisy estimate, so the spread of a slot is at least the median
spread of all slots, computed once at the start of each local day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from agent.core.history.calendar_spans import day_start, slot_of, slots_of
from agent.core.history.robust_stats import spread
from agent.core.model.history import Feature, FeatureContext, Floats
from agent.core.model.window_history import INCIDENT, MAINTENANCE
from agent.core.model.windows import DAY_MS, HOUR_MS, Window

Season = Literal["day", "week"]
SEASON_MS: dict[Season, int] = {"day": DAY_MS, "week": 7 * DAY_MS}

LEAST_SEASONS = 3
"""With fewer values in a slot, a single outlier would determine the baseline."""

_SMALLEST = 1e-9
"""The minimum spread as a share of the baseline: in a constant series, a rounding error is not an
anomaly."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The usual value and spread of a slot, and from how many windows they were computed."""

    centre: float
    spread: float
    windows: int


def baseline(context: FeatureContext, season: Season, span_ms: int, zone: str) -> Baseline | None:
    """The baseline of the current window's slot. None with fewer than `LEAST_SEASONS` seasons.

    Windows in maintenance are left out. So are windows during incidents (firing alerts), unless
    they are more than half of all windows: then they are the new normal.
    """
    now = slot_of(context.end_ms, season, zone)
    # The window is not compared with itself.
    values, ends = _usable(context, context.end_ms - span_ms, context.end_ms - 1)
    slots = slots_of(ends, season, zone)
    mine = values[slots == now]
    seasons = len(np.unique(ends[slots == now] // SEASON_MS[season]))
    if seasons < LEAST_SEASONS:
        return None
    centre = float(np.median(mine))
    usual = _usual_spread(context, season, span_ms, zone)
    least = _SMALLEST * abs(centre)
    return Baseline(centre, max(spread(mine, centre), usual, least), len(mine))


def _usable(
    context: FeatureContext, after_ms: int, upto_ms: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Values and ends of the windows for a baseline that end in `(after, upto]`."""
    past = context.past
    part = slice(past.since(after_ms).start, past.since(upto_ms).start)
    values, flags = past.values[part], past.flags[part]
    usable = ~np.isnan(values) & (flags & MAINTENANCE == 0)
    without_incidents = usable & (flags & INCIDENT == 0)
    if without_incidents.sum() * 2 >= usable.sum():
        usable = without_incidents
    return values[usable], past.ends[part][usable]


def _usual_spread(context: FeatureContext, season: Season, span_ms: int, zone: str) -> float:
    """The median spread of all slots, from the history at the start of the local day."""
    morning = day_start(context.end_ms - 1, zone)
    key = f"spread:{season}:{span_ms}"
    known = context.memory.get(key)
    if known is not None and known[0] == morning:
        return float(known[1])
    values, ends = _usable(context, morning - span_ms, morning)
    slots = slots_of(ends, season, zone)
    spreads = []
    for slot in np.unique(slots):
        mine = values[slots == slot]
        if len(mine) >= LEAST_SEASONS:
            spreads.append(spread(mine, float(np.median(mine))))
    usual = float(np.median(spreads)) if spreads else 0.0
    context.memory[key] = (morning, usual)
    return usual


@dataclass(frozen=True, slots=True)
class SeasonalAnomaly(Feature):
    """The distance of a value from its slot's baseline, in robust standard deviations."""

    season: Season
    span_ms: int
    zone: str
    depends_on_alerts: ClassVar[bool] = True

    def needs_ms(self, window: Window) -> int:
        """The span of the baseline before the start of the local day."""
        # A day with a clock change may be an hour longer.
        return self.span_ms + DAY_MS + HOUR_MS + window.span_ms

    def compute(self, context: FeatureContext) -> float | None:
        """None without a value or a baseline. At most `FARTHEST`, as for any change of a series
        that was constant."""
        if context.value is None:
            return None
        usual = baseline(context, self.season, self.span_ms, self.zone)
        if usual is None:
            return None
        distance = abs(context.value - usual.centre)
        if distance == 0:
            return 0.0
        return min(distance / usual.spread, FARTHEST) if usual.spread > 0 else FARTHEST


FARTHEST = 1e6
"""The largest distance that is published."""
