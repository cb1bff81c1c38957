"""Schedules: periods that recur by the wall clock of a time zone, as whole days or hours of days.

All periods are `[start, end)` in integer milliseconds since the epoch. The periods of a schedule
are computed a calendar year at a time, as a pure function of the schedule.

By the wall clock means: a whole day lasts from midnight to midnight, 23 or 25 hours when clocks
change. A start that a clock change skips is the instant of the change; of a start that occurs
twice, the first counts. A duration (`for_ms`) is elapsed time, whatever clocks show.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from agent.core.model.windows import DAY_MS, wall_clock_ms

Period = tuple[int, int]

FIRST_YEAR, LAST_YEAR = 1900, 2200
"""The years that schedules are computed for: zones and holidays are not known beyond them."""


@dataclass(frozen=True, slots=True)
class Weekdays:
    """Days of the week, 0 for Monday."""

    days: frozenset[int]

    def has(self, day: date) -> bool:
        """Whether the day is one of them."""
        return day.weekday() in self.days


EVERY_DAY = Weekdays(frozenset(range(7)))


@dataclass(frozen=True, slots=True)
class MonthDays:
    """Days of the month by number (-1: its last), or by weekday (0 for Monday): (1, 6) is its first
    Sunday, (-1, 4) its last Friday."""

    numbers: frozenset[int] = frozenset()
    weekdays: frozenset[tuple[int, int]] = frozenset()

    def has(self, day: date) -> bool:
        """Whether the day is one of them."""
        from_end = (day.replace(day=28) + timedelta(days=4)).replace(day=1) - day
        left = from_end.days  # 1 on the last day
        return (
            day.day in self.numbers
            or -left in self.numbers
            or ((day.day - 1) // 7 + 1, day.weekday()) in self.weekdays
            or (-((left - 1) // 7 + 1), day.weekday()) in self.weekdays
        )


@dataclass(frozen=True, slots=True)
class YearDays:
    """Days of the year as (month, day)."""

    days: frozenset[tuple[int, int]]

    def has(self, day: date) -> bool:
        """Whether the day is one of them."""
        return (day.month, day.day) in self.days


@dataclass(frozen=True, slots=True)
class HolidayDays:
    """The public holidays of a country (ISO 3166-1) or of a subdivision, from the library
    `holidays`; including substitute days off for holidays on a weekend."""

    country: str
    subdivision: str | None = None

    def has(self, day: date) -> bool:
        """Whether the day is one of them."""
        return day in _holidays(self.country, self.subdivision, day.year)


Days = Weekdays | MonthDays | YearDays | HolidayDays


@dataclass(frozen=True, slots=True)
class Schedule:
    """A set of periods.

    `days` None: all the time. Otherwise on those days of the zone: the whole day, or with
    `at_minutes` (after midnight by the wall clock) `for_ms` from then on. Only what lies within
    `[from_ms, until_ms)` counts.
    """

    timezone: str
    days: Days | None = None
    at_minutes: int | None = None
    for_ms: int = 0
    from_ms: int | None = None
    until_ms: int | None = None

    def periods(self, start_ms: int, end_ms: int) -> Iterator[Period]:
        """The periods that overlap `[start, end)`, in the order of their starts.

        They neither overlap nor touch, except for periods that begin in different years.
        """
        low = FIRST_MS if self.from_ms is None else self.from_ms
        high = LAST_MS if self.until_ms is None else self.until_ms
        start_ms, end_ms = max(start_ms, low), min(end_ms, high)
        if start_ms >= end_ms:
            return
        if self.days is None:
            yield low, high
            return
        first = _year(start_ms - self.for_ms - 2 * DAY_MS)
        for year in range(first, _year(end_ms + DAY_MS) + 1):
            known = _periods(self, self.days, year)
            # Merged, so that ends rise as starts do.
            for begin, end in known[bisect_right(known, start_ms, key=lambda p: p[1]) :]:
                if begin >= end_ms:
                    break
                if max(begin, low) < min(end, high):
                    yield max(begin, low), min(end, high)

    def first(self, start_ms: int, end_ms: int) -> Period | None:
        """The first period that overlaps `[start, end)`."""
        return next(self.periods(start_ms, end_ms), None)


def _year(at_ms: int) -> int:
    at_ms = min(max(at_ms, FIRST_MS), LAST_MS - 1)
    return (_EPOCH + timedelta(milliseconds=at_ms)).year


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MS = int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp()) * 1000
LAST_MS = int(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp()) * 1000


@lru_cache(maxsize=1024)
def _periods(schedule: Schedule, days: Days, year: int) -> tuple[Period, ...]:
    """The periods that begin in one local year; periods that overlap or touch are merged."""
    merged: list[Period] = []
    day = date(year, 1, 1)
    while day.year == year:
        if days.has(day):
            begin, end = _period(schedule, day)
            if merged and begin <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            elif begin < end:  # a day may be skipped altogether, where a zone moves its date
                merged.append((begin, end))
        day += timedelta(days=1)
    return tuple(merged)


def _period(schedule: Schedule, day: date) -> Period:
    zone, midnight = schedule.timezone, datetime.combine(day, time())
    if schedule.at_minutes is None:
        return wall_clock_ms(zone, midnight), wall_clock_ms(zone, midnight + timedelta(days=1))
    begin = wall_clock_ms(zone, midnight + timedelta(minutes=schedule.at_minutes))
    return begin, begin + schedule.for_ms


@lru_cache(maxsize=1024)
def _holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    # Imported on first use: it takes longer than the rest of the core together.
    from holidays import country_holidays

    # The substitute day off for New Year's Day may be in the year before.
    years = (year - 1, year, year + 1)
    days = country_holidays(country, subdiv=subdivision, years=years)
    return frozenset(day for day in days if day.year == year)
