"""Compiles the schedule of a maintenance."""

from __future__ import annotations

from typing import Literal

from agent.core.model.schedules import (
    EVERY_DAY,
    Days,
    HolidayDays,
    MonthDays,
    Schedule,
    Weekdays,
    YearDays,
)
from agent.core.model.windows import wall_clock_ms
from agent.language.models import dates
from agent.language.models.maintenance import MaintenanceSpec


def compile_schedule(model: MaintenanceSpec, zone: str) -> Schedule:
    """The schedule of a valid maintenance, in the time zone `zone`."""
    return Schedule(
        timezone=zone,
        days=_days(model),
        at_minutes=None if model.at is None else dates.clock(model.at),
        for_ms=model.for_ or 0,
        from_ms=None if model.from_ is None else instant_ms(model.from_, zone),
        until_ms=None if model.until is None else instant_ms(model.until, zone),
    )


def instant_ms(text: str, zone: str) -> int:
    """The instant (ms) of a date or time, in a zone where it has no offset of its own."""
    at, has_offset = dates.moment(text)
    return int(at.timestamp() * 1000) if has_offset else wall_clock_ms(zone, at)


def counted_in(day: int | str) -> Literal["week", "month", "year"]:
    """The period that a day of `on` belongs to."""
    if day in dates.WEEKDAYS:
        return "week"
    return "year" if isinstance(day, str) and dates.day_of_year(day) else "month"


def _days(model: MaintenanceSpec) -> Days | None:
    if model.holidays is not None:
        country, _, part = model.holidays.partition("-")
        return HolidayDays(country, part or None)
    if model.every is None:
        return None
    written = model.on or []
    texts = [day for day in written if isinstance(day, str)]
    if model.every == "day":
        return EVERY_DAY
    if model.every == "week":
        return Weekdays(frozenset(dates.WEEKDAYS.index(day) for day in texts))
    if model.every == "month":
        numbers = [day for day in written if isinstance(day, int)]
        numbers += [-1 for day in texts if day == dates.LAST_DAY]
        weekdays = (dates.nth_weekday(day) for day in texts)
        return MonthDays(frozenset(numbers), frozenset(d for d in weekdays if d is not None))
    days = (dates.day_of_year(day) for day in texts)
    return YearDays(frozenset(d for d in days if d is not None))
