"""The ticks of axes: round values in people's units, round times in a zone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from agent.core.model.text import value_text

Tick = tuple[float, str]

VALUE_TICKS = 6
TIME_TICKS = 6
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_SECONDS = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 7)),
)
"""Round steps in seconds, for durations and for the axis of time."""
_IN_SECONDS = {
    "seconds": 1.0, "minutes": _MINUTE, "hours": _HOUR, "days": _DAY, "milliseconds": 0.001,
    "ms": 0.001,
}  # fmt: skip


def extent(values: Iterable[float], bounds: Iterable[float]) -> tuple[float, float]:
    """The range of values that a chart shows: that of the values, extended to bounds that are near
    enough not to flatten the line."""
    known = list(values)
    if not known:
        known = list(bounds) or [0.0]
    low, high = min(known), max(known)
    span = high - low or abs(high) * 0.1 or 1.0
    for bound in bounds:
        if bound < low and low - bound <= 2 * span:
            low = bound
        if bound > high and bound - high <= 2 * span:
            high = bound
    pad = (high - low or span) * 0.08
    # Below zero only with negative values.
    return (max(low - pad, 0.0) if low >= 0 else low - pad), high + pad


def value_ticks(low: float, high: float, unit: str | None) -> list[Tick]:
    """About VALUE_TICKS round values, with their texts."""
    step = _step((high - low) / VALUE_TICKS, unit)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [(n * step, value_text(n * step, unit)) for n in range(first, last + 1)]


def _step(least: float, unit: str | None) -> float:
    scale = _IN_SECONDS.get(unit or "")
    if scale is not None and _SECONDS[0] <= least * scale <= _SECONDS[-1]:
        return next(step for step in _SECONDS if step >= least * scale) / scale
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def time_ticks(since_ms: int, until_ms: int, timezone: str) -> list[Tick]:
    """About TIME_TICKS instants (ms) at round times of a zone, with their texts."""
    zone = ZoneInfo(timezone)
    least = (until_ms - since_ms) / 1000 / TIME_TICKS
    days = max(1, math.ceil(least / _DAY))
    if least > _SECONDS[-4]:
        return [(at, text) for at, text in _days(since_ms, until_ms, zone, days)]
    step = next(step for step in _SECONDS if step >= max(least, 1.0))
    begin = datetime.fromtimestamp(since_ms / 1000, zone)
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    ticks = []
    for number in range(1, int(3 * _DAY / step) + 2):
        at = midnight + timedelta(seconds=number * step)  # local time
        at_ms = at.timestamp() * 1000
        if at_ms > until_ms:
            break
        if at_ms >= since_ms:
            form = "%H:%M:%S" if step < _MINUTE else "%H:%M"
            is_new_day = at.hour == at.minute == at.second == 0
            ticks.append((at_ms, at.strftime("%-d %b" if is_new_day else form)))
    return ticks


def _days(since_ms: int, until_ms: int, zone: ZoneInfo, days: int) -> Iterator[Tick]:
    at = datetime.fromtimestamp(since_ms / 1000, zone)
    at = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while at.timestamp() * 1000 <= until_ms:
        yield at.timestamp() * 1000, at.strftime("%-d %b")
        at += timedelta(days=days)
