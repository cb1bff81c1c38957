"""Series made by hand, looked at as rules look at them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from agent.core.model.history import FeatureContext, Floats
from agent.core.model.window_history import WindowHistory
from agent.core.model.windows import FixedWindow, Window

HOUR = 3_600_000
DAY = 24 * HOUR
MONDAY = 1_735_516_800_000
"""2024-12-30, a Monday, at midnight in UTC."""
DAYS = FixedWindow(DAY, DAY)
HOURS = FixedWindow(HOUR, HOUR)


def nobody(_by: tuple[int, ...]) -> Floats:
    """No other series."""
    return np.empty(0)


def look(
    values: Sequence[float | None],
    window: Window = DAYS,
    *,
    start_ms: int = MONDAY,
    events: Sequence[int] | None = None,
    flags: Sequence[int] | None = None,
    target: tuple[float | None, float | None] = (None, None),
    first_ms: int | None = None,
    memory: dict[str, Any] | None = None,
    peers: Callable[[tuple[int, ...]], Floats] = nobody,
) -> FeatureContext:
    """The last of consecutive windows, the first of which is the first that ends after
    `start_ms`."""
    past, end = WindowHistory(), start_ms
    for i, value in enumerate(values):
        end = window.first_end_after(end)
        past.append((end, value, events[i] if events else 10, flags[i] if flags else 0))
    return FeatureContext(
        window, past, window.start_of(end), end, values[-1],
        start_ms if first_ms is None else first_ms, *target,
        {} if memory is None else memory, peers,
    )  # fmt: skip


WEEK = 7 * DAY


LONDON = "Europe/London"


def at(zone: str, *parts: int) -> int:
    return round(datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp() * 1000)  # type: ignore[misc, arg-type]


def weekly(weeks: int, seed: int = 1) -> list[float | None]:
    """Hours of weeks: busy by day, quiet at night and on Sundays."""
    noise = random.Random(seed)
    return [
        100 + (80 if 8 <= hour % 24 < 18 else 0) - (50 if hour // 24 % 7 == 6 else 0)
        + noise.gauss(0, 3)
        for hour in range(weeks * 168)
    ]  # fmt: skip
