"""Parses one time as text: ISO 8601, RFC 3339, RFC 2822 and epoch numbers.

These forms are accepted, here for one value and in `event_time` for columns, with the same results:

- `2024-05-01`, `2024-05-01T10:20`, `2024-05-01 10:20:30.123456+01:00`: date alone, to the hour, the
  minute, the second or any fraction of the last of these; `T` or a space; no offset, `Z`, `+01:00`,
  `+0100`, `+01` or ` UTC`, with a space before it or not, and with the zone's name after it
  (`[Europe/Oslo]`, RFC 9557; `+0100 CET`, as Go prints times; the offset counts). The further
  shapes of ISO 8601: the basic format (`20240501T102030Z`), week dates (`2024-W18-3`), ordinal
  dates (`2024-122`). A date with an offset (`2024-05-01Z`, XML Schema's) is its midnight there.
- `Mon, 03 Mar 2025 08:30:00 +0100`, RFC 2822, also with `GMT` (RFC 9110) and the names of zones
  that it knows. The weekday is not compared with the date.
- `/Date(1740990600000+0100)/`, milliseconds since the epoch as .NET and OData 2 write them in JSON.
  The offset is that of the writer, and does not change the instant.
- Without an offset, the contract's zone applies. A local time that occurs twice is read as the
  first of the two (`repeated_hour` finds these); one that a clock change skips is read with the
  offset before the change (PEP 495, fold=0).
- `24:00` is the following midnight, `:60` (a leap second in the last minute of an hour) the
  following second, as in POSIX.
- Epoch numbers, also as text: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds,
  otherwise nanoseconds. 1e11 s is in the year 5138, 1e11 ms in 1973, so they do not overlap in
  practice.
- Eight digits are a date, `20240501`, and fourteen a date and a time, `20240501102030`, as HL7 and
  EDI write them (1970 to 2099; as milliseconds they would be of the years 2594 to 2635). Other
  numbers below 1e8 (a year, a number of days, a date with a two-digit year) would be epoch seconds
  before March 1973, which are never meant: they are not times. 0 is the epoch.
- Digits beyond the requested unit are truncated, never rounded up into the next window.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

SECONDS_BELOW = 10**11
MILLISECONDS_BELOW = 10**14
MICROSECONDS_BELOW = 10**17
LEAST_SECONDS = 10**8
"""March 1973: smaller numbers except 0 are not epoch times."""
COMPACT_FIRST, COMPACT_END = 1970_01_01_00_00_00, 2100_01_01_00_00_00
"""Numbers that are a date and a time of day in digits: as milliseconds they would be of the years
2594 to 2635."""
END_MS = 253_402_300_800_000
"""10000-01-01T00:00:00Z, the first instant that is not accepted."""

Digits = Literal[3, 6]
"""The decimals of a second that are read: 3 for milliseconds, 6 for microseconds."""
PER_SECOND: Mapping[Digits, int] = {3: 1000, 6: 1_000_000}

NUMBER = re.compile(r"(-?[0-9]+)(?:\.([0-9]+))?")
COMPACT_DATE = re.compile(r"[0-9]{8}")
COMPACT_TIME = re.compile(r"[0-9]{14}")
_ZONE = (
    r"(?P<zone> ?[Zz]| (?:UTC|GMT)|"
    r" ?(?P<sign>[+-])(?P<zone_hour>[0-9]{2}):?(?P<zone_minute>[0-9]{2})?(?: [A-Z]{1,5})?)?"
)
ISO = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?" + _ZONE + ")?"
)
"""The shapes that columns parse together."""

_FURTHER_ISO = re.compile(
    r"(?P<year>[0-9]{4})(?:-?(?P<month>[0-9]{2})-?(?P<day>[0-9]{2})"
    r"|-?W(?P<week>[0-9]{2})(?:-?(?P<weekday>[0-9]))?|-(?P<ordinal>[0-9]{3}))"
    r"(?:[Tt ](?P<hour>[0-9]{2})(?::?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2}))?)?"
    r"(?:[.,](?P<fraction>[0-9]+))?" + _ZONE + r"(?:\[[A-Za-z0-9_+/-]+\])?)?"
)
_ZONED_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(Z|[+-][0-9]{2}:[0-9]{2})")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMED_ZONES = {
    **dict.fromkeys(("UT", "UTC", "GMT", "Z"), 0),
    **{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7},
}
"""RFC 2822, section 4.3: hours ahead of UTC."""
_RFC_2822 = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +)?(?P<day>[0-9]{1,2})[ -]"
    r"(?P<month>[A-Za-z]{3})[ -](?P<year>[0-9]{4}) +"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?"
    r"(?: +(?:(?P<name>[A-Z]{1,3})"
    r"|(?P<sign>[+-])(?P<zone_hour>[0-9]{2})(?P<zone_minute>[0-9]{2})))?"
    r"(?: +\([^()]*\))?"
)
_DOT_NET = re.compile(r"/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/")
MAX_LENGTH = 64
"""The maximum length of a time."""
_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)


def parse_time(text: str, timezone: str) -> int | None:
    """An event time in ms since the epoch; None: it can't be read, or is before 1970 or after 9999.
    `timezone`: IANA name."""
    ms = instant_of(text, timezone, 3)
    return ms if ms is not None and 0 <= ms < END_MS else None


def instant_of(text: str, timezone: str, digits: Digits) -> int | None:
    """A time in ms or µs since the epoch, from the year 1 on; None: it can't be read."""
    number = NUMBER.fullmatch(text)
    if number and COMPACT_TIME.fullmatch(text) and COMPACT_FIRST <= int(text) < COMPACT_END:
        text = f"{text[:8]}T{text[8:]}"
    elif number and not COMPACT_DATE.fullmatch(text):
        return _of_number(number[1], number[2] or "", digits)
    if len(text) > MAX_LENGTH:
        return None
    try:
        if zoned := _ZONED_DATE.fullmatch(text):
            text = f"{zoned[1]}T00:00{zoned[2]}"
        if iso := _FURTHER_ISO.fullmatch(text):
            return _of_iso(iso, timezone, digits)
        if mail := _RFC_2822.fullmatch(text):
            return _of_rfc_2822(mail, timezone, digits)
        if dot_net := _DOT_NET.fullmatch(text):
            return int(dot_net[1]) * (PER_SECOND[digits] // 1000)
    except (ValueError, OverflowError):
        pass
    return None


def _of_number(whole: str, decimals: str, digits: Digits) -> int | None:
    number = int(whole) if len(whole) < 20 else -1
    if number < LEAST_SECONDS:
        return 0 if number == 0 and not decimals.strip("0") else None
    if number < SECONDS_BELOW:
        return number * PER_SECOND[digits] + _padded(decimals, digits)
    if number < MILLISECONDS_BELOW:
        return number if digits == 3 else number * 1000 + _padded(decimals, 3)
    per_unit = 1 if number < MICROSECONDS_BELOW else 1000
    return number // per_unit // (1000 if digits == 3 else 1)


def _padded(decimals: str, digits: int) -> int:
    return int(decimals[:digits].ljust(digits, "0"))


def _of_iso(match: re.Match[str], timezone: str, digits: Digits) -> int:
    year = int(match["year"])
    if match["week"] is not None:
        day = date.fromisocalendar(year, int(match["week"]), int(match["weekday"] or 1))
    elif match["ordinal"] is not None:
        day = date(year, 1, 1) + timedelta(days=int(match["ordinal"]) - 1)
        if day.year != year or match["ordinal"] == "000":
            raise ValueError(match["ordinal"])
    else:
        day = date(year, int(match["month"]), int(match["day"]))
    fraction = match["fraction"] or ""
    clock = [int(match[part] or 0) for part in ("hour", "minute", "second")]
    seconds, part = _of_day(*clock), _padded(fraction, digits)
    if fraction and match["second"] is None:  # of an hour or a minute
        unit = 60 if match["minute"] is not None else 3600
        extra = int(fraction) * unit * PER_SECOND[digits] // 10 ** len(fraction)
        seconds, part = seconds + extra // PER_SECOND[digits], extra % PER_SECOND[digits]
    if clock[0] == 24 and (clock[1] or clock[2] or int(fraction or 0)):
        raise ValueError("past 24:00")
    local = (datetime(day.year, day.month, day.day) - _EPOCH) // _SECOND + seconds
    if match["zone"] is None:
        ahead = offset_seconds(timezone, local)
    else:
        ahead = _offset(match["sign"], match["zone_hour"], match["zone_minute"])
    return (local - ahead) * PER_SECOND[digits] + part


def _of_rfc_2822(match: re.Match[str], timezone: str, digits: Digits) -> int:
    month = _MONTHS.index(match["month"].lower()) + 1
    day = datetime(int(match["year"]), month, int(match["day"]))
    clock = [int(match[part] or 0) for part in ("hour", "minute", "second")]
    local = (day - _EPOCH) // _SECOND + _of_day(*clock)
    if match["name"] is not None:
        if match["name"] not in _NAMED_ZONES:
            raise ValueError(match["name"])
        ahead = _NAMED_ZONES[match["name"]] * 3600
    elif match["sign"] is not None:
        ahead = _offset(match["sign"], match["zone_hour"], match["zone_minute"])
    else:
        ahead = offset_seconds(timezone, local)
    return (local - ahead) * PER_SECOND[digits]


def _of_day(hour: int, minute: int, second: int) -> int:
    """Seconds since midnight. Raises ValueError if there is no such time."""
    is_leap = second == 60 and minute == 59
    if hour > 24 or minute > 59 or (second > 59 and not is_leap):
        raise ValueError("no time of day")
    return (hour * 60 + minute) * 60 + second


def _offset(sign: str | None, hours: str | None, minutes: str | None) -> int:
    """Seconds ahead of UTC as written."""
    seconds = int(hours or 0) * 3600 + int(minutes or 0) * 60
    if seconds >= 86_400 or int(minutes or 0) > 59:
        raise ValueError("no offset")
    return -seconds if sign == "-" else seconds


@lru_cache(maxsize=65_536)
def offset_seconds(timezone: str, local_seconds: int) -> int:
    """The zone's offset from UTC at a local time (seconds since 1970-01-01 by the local clock).

    Raises OverflowError outside the years 1 to 9999.
    """
    if timezone == "UTC":
        return 0
    at = (_EPOCH + timedelta(seconds=local_seconds)).replace(tzinfo=ZoneInfo(timezone), fold=0)
    offset = at.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
