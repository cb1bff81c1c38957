"""Schedules in words: `every week on sunday at 02:00 for 4h in Europe/London`."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from agent.core.model.schedules import EVERY_DAY, Days, HolidayDays, MonthDays, Schedule, Weekdays
from agent.core.model.text import duration

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NTH = {1: "first", 2: "second", 3: "third", 4: "fourth", -1: "last"}


def schedule_text(schedule: Schedule) -> str:
    """When a schedule holds, as the language writes it."""
    words = [] if schedule.days is None else [_days(schedule.days)]
    if schedule.at_minutes is not None:
        hours, minutes = divmod(schedule.at_minutes, 60)
        words.append(f"at {hours:02}:{minutes:02} for {duration(schedule.for_ms)}")
    zone = ZoneInfo(schedule.timezone)
    for word, at_ms in (("from", schedule.from_ms), ("until", schedule.until_ms)):
        if at_ms is not None:
            at = datetime.fromtimestamp(at_ms / 1000, zone).replace(tzinfo=None)
            words.append(f"{word} {at.isoformat('T', 'seconds').removesuffix(':00')}")
    return f"{' '.join(words)} in {schedule.timezone}"


def _days(days: Days) -> str:
    if isinstance(days, HolidayDays):
        part = f"-{days.subdivision}" if days.subdivision else ""
        return f"holidays {days.country}{part}"
    if isinstance(days, Weekdays):
        if days == EVERY_DAY:
            return "every day"
        return f"every week on {', '.join(_WEEKDAYS[day] for day in sorted(days.days))}"
    if isinstance(days, MonthDays):
        names = ["last day" if n == -1 else str(n) for n in sorted(days.numbers, key=_last_last)]
        names += [f"{_NTH[n]} {_WEEKDAYS[day]}" for n, day in sorted(days.weekdays)]
        return f"every month on {', '.join(names)}"
    return f"every year on {', '.join(f'{m:02}-{d:02}' for m, d in sorted(days.days))}"


def _last_last(number: int) -> int:
    return number if number > 0 else 100
