"""Parses dates (a year, quarter, month, ISO week or day), times of the day, and days of a schedule.

Text in, plain values out; `values.py` makes pydantic types of them.
"""

from __future__ import annotations

import re
from datetime import date, datetime

from pydantic_core import PydanticCustomError

from agent.core.model.schedules import FIRST_YEAR, LAST_YEAR
from agent.language.problems import nearest, wrong

DATE = r"\d{4}(-Q[1-4]|-W\d\d|-\d\d(-\d\d)?)?"
"""A date as a regular expression, anchors left out; the JSON Schema uses it too."""
MOMENT = rf"{DATE}|\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?"
CLOCK = r"([01]\d|2[0-3]):[0-5]\d"

DATE_HOW = "a year, quarter, month, ISO week or day: 2027, 2027-Q1, 2027-07, 2027-W05, 2027-01-15"

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LAST_DAY = "last day"
NTH = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}

DAY = rf"^(\d\d-\d\d|{LAST_DAY}|({'|'.join(NTH)}) ({'|'.join(WEEKDAYS)}))$"
"""Days other than weekdays and numbers; the JSON Schema uses it."""


def first_day(text: str) -> date:
    """The first day of a year, quarter, month or ISO week (its Monday), or the day. Raises
    `wrong`."""
    if not re.fullmatch(DATE, text):
        raise wrong(f"'{text}' is not a date", _repaired(text) or DATE_HOW)
    year, _, rest = text.partition("-")
    if not FIRST_YEAR <= int(year) <= LAST_YEAR:
        raise wrong(f"'{text}' is not a date", f"years go from {FIRST_YEAR} to {LAST_YEAR}")
    try:
        if rest.startswith("Q"):
            return date(int(year), 3 * int(rest[1:]) - 2, 1)
        if rest.startswith("W"):
            return date.fromisocalendar(int(year), int(rest[1:]), 1)
        month, _, day = rest.partition("-")
        return date(int(year), int(month or 1), int(day or 1))
    except ValueError as error:
        raise wrong(f"'{text}' is not a date", f"no such date: {error}") from error


def _repaired(text: str) -> str | None:
    """A hint for a date in a similar notation."""
    plain = text.strip().upper().replace("/", "-").replace(".", "-")
    year = re.search(r"\b\d{4}\b", plain)
    part = re.search(r"[QW]\d{1,2}", plain)
    suggestion = None
    if year and part:
        number = int(part[0][1:])
        suggestion = f"{year[0]}-Q{number}" if part[0][0] == "Q" else f"{year[0]}-W{number:02}"
    elif numbers := re.fullmatch(r"(\d{4})-(\d{1,2})(?:-(\d{1,2}))?", plain):
        suggestion = "-".join([numbers[1], *(f"{int(n):02}" for n in numbers.groups()[1:] if n)])
    if suggestion is None or not re.fullmatch(DATE, suggestion) or suggestion == text:
        return None
    return f"did you mean {suggestion}?"


def moment(text: str) -> tuple[datetime, bool]:
    """A date and time, and whether it has an offset; without one, it is local time.

    A date is the start of its first day. Raises `wrong`.
    """
    if re.fullmatch(DATE, text):
        day = first_day(text)
        return datetime(day.year, day.month, day.day), False
    try:
        if re.fullmatch(MOMENT, text):
            at = datetime.fromisoformat(text)
            first_day(at.date().isoformat())
            return at, at.tzinfo is not None
    except ValueError as error:
        if isinstance(error, PydanticCustomError):
            raise
        raise wrong(f"'{text}' is not a time", f"no such time: {error}") from error
    raise wrong(f"'{text}' is not a time", "a date, or a date and a time: 2027-03-06T22:00")


def clock(text: str) -> int:
    """Minutes after midnight. Raises `wrong`."""
    if re.fullmatch(CLOCK, text):
        return int(text[:2]) * 60 + int(text[3:])
    short = re.fullmatch(r"(\d):([0-5]\d)(:00)?", text.strip())
    hint = f'write "0{short[1]}:{short[2]}"' if short else 'hours and minutes: "02:00", "17:30"'
    raise wrong(f"'{text}' is not a time of the day", hint)


def day_of_year(text: str) -> tuple[int, int] | None:
    """Month and day of `12-24`; None for other forms. Raises `wrong` for a day that no year
    has."""
    if not re.fullmatch(r"\d\d-\d\d", text):
        return None
    month, day = int(text[:2]), int(text[3:])
    try:
        date(2024, month, day)  # a leap year
    except ValueError as error:
        raise wrong(f"'{text}' is not a day of the year", "month and day: 12-24") from error
    return month, day


def nth_weekday(text: str) -> tuple[int, int] | None:
    """`first sunday` as (1, 6), `last friday` as (-1, 4); None for other forms."""
    words = text.split()
    if len(words) == 2 and words[0] in NTH and words[1] in WEEKDAYS:
        return NTH[words[0]], WEEKDAYS.index(words[1])
    return None


def day(value: int | str) -> int | str:
    """A day of `on`: a weekday; `last day`, `first sunday` or a number, of the month; 12-24, of the
    year. Raises `wrong`."""
    if isinstance(value, int):
        if 1 <= value <= 31:
            return value
        raise wrong(f"{value} is not a day of a month", "1 to 31, or `last day`")
    if value in WEEKDAYS or value == LAST_DAY or nth_weekday(value) or day_of_year(value):
        return value
    near = near_day(value)
    hint = f"did you mean '{near}'?" if near else "sunday, first sunday, last day, 1, or 12-24"
    raise wrong(f"'{value}' is not a day", hint)


def near_day(text: str) -> str | None:
    """The weekday that a misspelt or shortened one is meant to be."""
    plain = text.strip().lower()
    if plain.partition(" ")[0] in NTH and " " in plain:
        rest = near_day(plain.partition(" ")[2])
        return f"{plain.partition(' ')[0]} {rest}" if rest else None
    short = [day for day in WEEKDAYS if len(plain) >= 2 and day.startswith(plain)]
    return short[0] if short else nearest(plain, WEEKDAYS)
