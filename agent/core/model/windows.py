"""Event-time windows: which slices, panes and windows an instant belongs to.

Times are integer milliseconds since the Unix epoch, intervals are half open `[start, end)`.
A *slice* is the smallest interval that rows are folded into, at most five minutes. A *pane* is
`gcd(size, hop)` for fixed windows and the whole period for calendar ones. A window is a whole
number of panes, a pane a whole number of slices: every boundary of a window is a slice boundary,
daylight-saving changes included, because the zone offsets in use since 1970 are multiples of
fifteen minutes (IANA tz database), but for Liberia's before 1972, whose slices are of 30 seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MAX_SLICE_MS = 5 * 60 * 1000

CalendarUnit = Literal["day", "week", "month", "quarter", "year"]


@dataclass(frozen=True, slots=True)
class FixedWindow:
    """Tumbling (`hop_ms == size_ms`) or hopping windows, aligned to the epoch in UTC."""

    size_ms: int
    hop_ms: int

    @property
    def slice_ms(self) -> int:
        """The slice: the largest divisor of the pane that is at most five minutes."""
        return largest_divisor(math.gcd(self.size_ms, self.hop_ms), MAX_SLICE_MS)

    def pane_start(self, at_ms: int) -> int:
        """The start of the pane that holds the instant."""
        pane = math.gcd(self.size_ms, self.hop_ms)
        return at_ms - at_ms % pane

    def first_end_after(self, at_ms: int) -> int:
        """The end of the earliest-ending window that ends after the instant."""
        # Windows start at multiples of the hop, so they end at multiples of it plus the size.
        return at_ms - (at_ms - self.size_ms) % self.hop_ms + self.hop_ms

    def start_of(self, end_ms: int) -> int:
        """The start of the window with that end."""
        return end_ms - self.size_ms

    def last_end_over(self, at_ms: int) -> int:
        """The end of the latest window that holds the instant."""
        return at_ms - at_ms % self.hop_ms + self.size_ms

    @property
    def span_ms(self) -> int:
        """The longest a window can be."""
        return self.size_ms

    @property
    def step_ms(self) -> int:
        """The shortest time between the ends of two windows."""
        return self.hop_ms


@dataclass(frozen=True, slots=True)
class CalendarWindow:
    """Days, ISO weeks (from Monday), months, quarters or years of a named time zone."""

    unit: CalendarUnit
    timezone: str

    @property
    def slice_ms(self) -> int:
        """Five minutes, or less where the zone's offsets from UTC are finer."""
        return _zone_slice_ms(self.timezone)

    def pane_start(self, at_ms: int) -> int:
        """The start of the period that holds the instant."""
        return _period_at(self.unit, self.timezone, at_ms)[0]

    def first_end_after(self, at_ms: int) -> int:
        """The end of the period that holds the instant."""
        return _period_at(self.unit, self.timezone, at_ms)[1]

    def start_of(self, end_ms: int) -> int:
        """The start of the period with that end."""
        return self.pane_start(end_ms - 1)

    def last_end_over(self, at_ms: int) -> int:
        """The end of the period that holds the instant."""
        return self.first_end_after(at_ms)

    @property
    def span_ms(self) -> int:
        """The longest a period can be."""
        days = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}[self.unit]
        return (days * 24 + 1) * HOUR_MS

    @property
    def step_ms(self) -> int:
        """The shortest time between the ends of two periods."""
        days = {"day": 1, "week": 7, "month": 28, "quarter": 90, "year": 365}[self.unit]
        return (days * 24 - 1) * HOUR_MS


@lru_cache(maxsize=1024)
def _zone_slice_ms(zone: str) -> int:
    """The longest slice, at most five minutes, of which all offsets of a zone since 1970 are whole
    numbers."""
    tz, at, step = ZoneInfo(zone), _EPOCH, MAX_SLICE_MS
    # No rule has ever been in force for less than a week.
    while at.year < _LAST_NEW_OFFSET:
        offset = at.astimezone(tz).utcoffset() or timedelta()
        step = math.gcd(step, round(offset.total_seconds() * 1000))
        at += timedelta(days=7)
    return step


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NEW_OFFSET = 1980
"""Since then all offsets are multiples of fifteen minutes."""

Window = FixedWindow | CalendarWindow


def current_slice_ms(window: Window) -> int:
    """The slice of a KPI whose current value is evaluated: a tenth of the pane, at least a second.

    The window is then evaluated about ten times while it is open, on values that are complete.
    """
    if isinstance(window, CalendarWindow):
        return window.slice_ms
    pane = math.gcd(window.size_ms, window.hop_ms)
    return largest_divisor(pane, min(MAX_SLICE_MS, max(1000, pane // 10)))


def largest_divisor(whole: int, most: int) -> int:
    """The largest divisor of `whole` that is at most `most`."""
    if whole <= most:
        return whole
    best = 1
    for d in range(1, math.isqrt(whole) + 1):
        if whole % d == 0:
            for divisor in (d, whole // d):
                if best < divisor <= most:
                    best = divisor
    return best


def ends_between(window: Window, after_ms: int, upto_ms: int) -> Iterator[int]:
    """The ends of windows in `(after_ms, upto_ms]`, ascending."""
    end = window.first_end_after(after_ms)
    while end <= upto_ms:
        yield end
        end = window.first_end_after(end)


def previous_end(window: Window, end_ms: int) -> int:
    """The end of the window before the one with that end."""
    if isinstance(window, FixedWindow):
        return end_ms - window.hop_ms
    return window.start_of(end_ms)


def previous_start(window: Window, end_ms: int) -> int:
    """The start of the window that ends where the window with that end starts."""
    return window.start_of(window.start_of(end_ms))


_last_periods: dict[tuple[CalendarUnit, str], tuple[int, int]] = {}
"""The last result by unit and zone: consecutive calls mostly ask for the same period."""


def _period_at(unit: CalendarUnit, zone: str, at_ms: int) -> tuple[int, int]:
    """Start and end of the period that holds an instant."""
    period = _last_periods.get((unit, zone))
    if period is None or not period[0] <= at_ms < period[1]:
        day = _local_day(zone, at_ms)
        period = _period(unit, zone, day)
        if at_ms >= period[1]:
            # Clocks went back over midnight and show the day before again; the new day, which has
            # begun already, continues.
            period = _period(unit, zone, day + timedelta(days=1))
        _last_periods[unit, zone] = period
    return period


def _local_day(zone: str, at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).date()


@lru_cache(maxsize=4096)
def _period(unit: CalendarUnit, zone: str, day: date) -> tuple[int, int]:
    """Start and end of the period that holds a local day."""
    if unit == "day":
        first, last = day, day + timedelta(days=1)
    elif unit == "week":
        first = day - timedelta(days=day.weekday())
        last = first + timedelta(days=7)
    elif unit == "month":
        first = day.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1)
    elif unit == "quarter":
        first = day.replace(month=day.month - (day.month - 1) % 3, day=1)
        last = (first + timedelta(days=92)).replace(day=1)
    else:
        first = day.replace(month=1, day=1)
        last = first.replace(year=first.year + 1)
    return _midnight(zone, first), _midnight(zone, last)


def _midnight(zone: str, day: date) -> int:
    """The first instant of a local day; where a clock change skips midnight, the change itself."""
    return wall_clock_ms(zone, datetime(day.year, day.month, day.day))


def wall_clock_ms(zone: str, local: datetime) -> int:
    """The instant (ms) at which the clocks of a zone show a time of whole seconds.

    The first of the two where clocks go back over it; the clock change itself where they skip it.
    """
    tz = ZoneInfo(zone)
    at = int(local.replace(tzinfo=tz).timestamp())
    if datetime.fromtimestamp(at, tz).replace(tzinfo=None) == local:
        return at * 1000
    # The time is in the gap of a clock change, which lies between its readings in the two offsets
    # (PEP 495): find the first second at which clocks show this time or a later one.
    before = int(local.replace(tzinfo=tz, fold=1).timestamp())
    seconds = range(before, at + 1)
    first = bisect_left(
        seconds,
        True,
        key=lambda second: datetime.fromtimestamp(second, tz).replace(tzinfo=None) >= local,
    )
    return seconds[first] * 1000


def first_end_within(window: Window, at_ms: int) -> int:
    """The end of the first window that begins at or after an instant."""
    if isinstance(window, FixedWindow):
        return window.first_end_after(at_ms + window.size_ms - 1)
    end = window.first_end_after(at_ms)
    return end if window.start_of(end) >= at_ms else window.first_end_after(end)
