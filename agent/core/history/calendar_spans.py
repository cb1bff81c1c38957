"""Spans of time in calendar units, and calendar arithmetic in a time zone."""

from __future__ import annotations

import calendar
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from agent.core.model.windows import DAY_MS, HOUR_MS, CalendarWindow, ends_between

Ends = NDArray[np.int64] | NDArray[np.float64]
MONTH_MS = 2_629_746_000
"""A twelfth of the Gregorian year of 365.2425 days."""


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time: calendar months and days, and exact milliseconds."""

    months: int = 0
    days: int = 0
    ms: int = 0

    @property
    def mean_ms(self) -> int:
        """Its average length; a month is a twelfth of a year."""
        return self.months * MONTH_MS + self.days * DAY_MS + self.ms

    @property
    def most_ms(self) -> int:
        """The longest that it can be, including clock changes."""
        # If a zone has skipped the day, `back` goes one day further.
        clocks = DAY_MS + HOUR_MS if self.months or self.days else 0
        return self.months * 31 * DAY_MS + self.days * DAY_MS + self.ms + clocks


@lru_cache(maxsize=4096)
def back(at_ms: int, span: Span, zone: str) -> int:
    """The instant a span before another, at the same time of the local clock. A day that the month
    does not have becomes its last day, a day that the zone skipped the day before."""
    if not span.months and not span.days:
        return at_ms - span.ms
    tz = ZoneInfo(zone)
    local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(tz)
    month = local.year * 12 + local.month - 1 - span.months
    year, month = divmod(month, 12)
    last = calendar.monthrange(year, month + 1)[1]
    moved = local.replace(year=year, month=month + 1, day=min(local.day, last))
    moved -= timedelta(days=span.days)  # of the local clock
    while _is_skipped(moved):
        moved -= timedelta(days=1)
    return round(moved.timestamp() * 1000) - span.ms


def _is_skipped(local: datetime) -> bool:
    """Whether the zone never had that day, as when it moved across the date line."""
    return local.astimezone(UTC).astimezone(local.tzinfo).date() != local.date()


def days_between(start_ms: int, at_ms: int, zone: str) -> float:
    """How many days of a zone have elapsed since one of them began, with a fraction for the last.
    Days of 23 and 25 hours count as days, days that the zone skipped do not."""
    days = CalendarWindow("day", zone)
    begin = days.pane_start(at_ms)
    part = (at_ms - begin) / (days.first_end_after(at_ms) - begin)
    return _whole_days(start_ms, begin, zone) + part


def after_days(start_ms: int, days: float, zone: str) -> int:
    """The instant at which `days` days of a zone have elapsed since one of them began: the reverse
    of `days_between`."""
    window = CalendarWindow("day", zone)
    at = start_ms
    whole = math.floor(round(days, 9))
    for _ in range(whole):
        at = window.first_end_after(at)
    return at + round(max(0.0, days - whole) * (window.first_end_after(at) - at))


@lru_cache(maxsize=4096)
def _whole_days(start_ms: int, stop_ms: int, zone: str) -> int:
    return sum(1 for _ in ends_between(CalendarWindow("day", zone), start_ms, stop_ms))


@lru_cache(maxsize=65536)
def slot_of(end_ms: int, season: str, zone: str) -> int:
    """The index of the hour of the local day (season `day`) or week (`week`, from Monday) that
    contains the instant just before `end_ms`."""
    at = datetime.fromtimestamp((end_ms - 1) / 1000, UTC).astimezone(ZoneInfo(zone))
    return at.hour if season == "day" else at.weekday() * 24 + at.hour


def slots_of(ends: Ends, season: str, zone: str) -> NDArray[np.int16]:
    """The `slot_of` each end (ms)."""
    return np.fromiter((slot_of(round(end), season, zone) for end in ends), np.int16, len(ends))


@lru_cache(maxsize=4096)
def day_start(at_ms: int, zone: str) -> int:
    """The midnight before an instant."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    return round(at.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
