"""The demo's story: the shape of its day, and the trouble that is staged in it.

All times are seconds since the demo's start; negative ones are the backfilled history, in which
nothing goes wrong. The story repeats every `DAY_SECONDS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY_SECONDS = 240.0
"""A day of the example company."""

MORNING = 0.3
"""Where in its day the company is when the demo starts."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Trouble that is staged in `[begins_seconds, ends_seconds)` of every day.

    `rule` is the rule of `rules/` that fires in it, `description` is for people.
    """

    name: str
    begins_seconds: float
    ends_seconds: float
    rule: str
    description: str

    def holds(self, at_seconds: float) -> bool:
        """Whether the trouble is on."""
        return at_seconds >= 0 and self.begins_seconds <= day_time(at_seconds) < self.ends_seconds


SLOW_SUPPORT = Stage(
    "slow_support",
    5,
    45,
    "slow_support",
    "half of emea's support team is absent: response times rise",
)
FEEDBACK_SILENT = Stage(
    "feedback_silent",
    95,
    145,
    "feedback_silent",
    "the survey provider is down: no feedback comes in",
)
CHECKOUT_BROKEN = Stage(
    "checkout_broken",
    165,
    210,
    "conversion_dropped",
    "the app's new release breaks its checkout: visits, but few orders",
)
STAGES = (SLOW_SUPPORT, FEEDBACK_SILENT, CHECKOUT_BROKEN)

RAMP_SECONDS = 10.0
SLOWEST_FACTOR = 5.0
BROKEN_CHECKOUT_FACTOR = 0.15


def day_time(at_seconds: float) -> float:
    """Seconds since the company's day began."""
    return at_seconds % DAY_SECONDS


def stage_at(at_seconds: float) -> Stage | None:
    """The trouble that is on, if any."""
    return next((stage for stage in STAGES if stage.holds(at_seconds)), None)


def traffic_factor(at_seconds: float) -> float:
    """The daily rhythm of traffic: about 1 on average, 0.6 at night, 1.4 in the evening."""
    phase = 2 * math.pi * (at_seconds / DAY_SECONDS + MORNING)
    return 1.0 - 0.3 * math.cos(phase) - 0.12 * math.cos(2 * phase + 0.8)


def slowdown_factor(at_seconds: float) -> float:
    """The factor by which emea's answers take longer: rises over `RAMP_SECONDS`, then stays."""
    if not SLOW_SUPPORT.holds(at_seconds):
        return 1.0
    risen = (day_time(at_seconds) - SLOW_SUPPORT.begins_seconds) / RAMP_SECONDS
    return 1.0 + (SLOWEST_FACTOR - 1.0) * min(1.0, risen)
