"""Parses the times of a test: time of day, since its start, or with a date; in its time zone.

`10:05`, `10:05:30.5` on the day of the start; `+20m` since the start; `2026-03-02` (its midnight),
`2026-03-02 10:05`; each of those with a time also with an offset: `Z`, `+01:00`. A time that a
change of the clocks skips or repeats must have an offset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from agent.language.models import durations

DEFAULT_DAY = date(2024, 1, 1)
"""The default day of tests: a Monday, and the first of a month, quarter and year."""

_TIME = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})?(?:(?<=\d)[T ](?=\d))?"
    r"(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?)?"
    r"(?P<offset>Z|[+-]\d{2}:\d{2})?"
)
_HINT = "write 10:05, 10:05:30, +20m, 2026-03-02 or 2026-03-02 10:05"


class TimeError(ValueError):
    """A text that is not a time; `hint` has valid ones."""

    def __init__(self, message: str, hint: str | None = _HINT) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Clock:
    """The zone and the start (ms) of a test, to which its times are relative."""

    zone: str
    start_ms: int

    def read(self, text: str) -> int:
        """Parse a time to an instant in ms. Raises TimeError."""
        text = text.strip()
        if text.startswith("+"):
            try:
                return self.start_ms + durations.parse(text[1:])
            except ValueError as error:
                raise TimeError(str(error)) from error
        return _instant(text, self.zone, self._day(self.start_ms))

    def show(self, at_ms: int) -> str:
        """An instant as text; on the day of the start, without the date."""
        at = self._local(at_ms)
        form = "%H:%M:%S" if at.second or at.microsecond else "%H:%M"
        text = at.strftime(form)
        if at.microsecond:
            text += f".{at.microsecond // 1000:03}"
        if at.utcoffset() != at.replace(fold=1 - at.fold).utcoffset():
            offset = at.strftime("%z")
            text += f"{offset[:3]}:{offset[3:]}"
        day = at.date()
        return text if day == self._day(self.start_ms) else f"{day.isoformat()} {text}"

    def _day(self, at_ms: int) -> date:
        return self._local(at_ms).date()

    def _local(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(self.zone))


def clock_of(zone: str, start: str | None) -> Clock:
    """The clock of a test that begins at `start`. Raises TimeError."""
    text = (start or DEFAULT_DAY.isoformat()).strip()
    if text.startswith("+"):
        raise TimeError("the start cannot be relative to itself", "write a date, a time or both")
    return Clock(zone, _instant(text, zone, DEFAULT_DAY))


def _instant(text: str, zone: str, day: date) -> int:
    match = _TIME.fullmatch(text)
    if match is None or not (match["date"] or match["clock"]):
        raise TimeError(f"'{text}' is not a time")
    if match["offset"] and not match["clock"]:
        raise TimeError(f"'{text}' has an offset, but no time of day")
    try:
        on = date.fromisoformat(match["date"]) if match["date"] else day
        clock = match["clock"] or "00:00"
        at = time.fromisoformat(clock if clock[2] == ":" else f"0{clock}")
    except ValueError as error:
        raise TimeError(f"'{text}' is not a time: {error}") from error
    naive = datetime.combine(on, at)
    if match["offset"]:
        offset = match["offset"].replace("Z", "+00:00")
        return _ms(datetime.fromisoformat(naive.isoformat() + offset))
    return _local_ms(text, naive, zone)


def _local_ms(text: str, naive: datetime, zone: str) -> int:
    first = naive.replace(tzinfo=ZoneInfo(zone))
    second = first.replace(fold=1)
    if first.utcoffset() == second.utcoffset():
        return _ms(first)
    if first.astimezone(UTC).astimezone(first.tzinfo).replace(tzinfo=None) != naive:
        message = f"'{text}' does not exist in {zone}: clocks go forward over it"
        raise TimeError(message, "write a time before or after")
    options = " or ".join(at.isoformat(" ", "minutes") for at in (first, second))
    raise TimeError(f"'{text}' happens twice in {zone}: clocks go back", f"write {options}")


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
