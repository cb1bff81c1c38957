"""Durations: `<number><unit>` with ms, s, m, h, d, w, combined as in `1h30m`; and windows: `5m`,
`5m every 1m`, `day`, `week`, `month`, `quarter`, `year`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

from agent.core.model.text import UNIT_MS, duration, window_text
from agent.core.model.windows import CalendarUnit, CalendarWindow, FixedWindow, Window
from agent.language.problems import nearest, wrong

show = duration
"""A duration as text."""

PATTERN = r"(\d+(\.\d+)?(ms|s|m|h|d|w))+"
"""A duration as a regular expression, anchors left out; the JSON Schema uses it too."""

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_MOST_MS = 100 * 366 * UNIT_MS["d"]
"""A hundred years: longer is a slip, and would leave the range of dates."""


def parse(text: str) -> int:
    """A duration in milliseconds.

    Raises ValueError, with a message for people, for anything else, and for parts of a millisecond.
    """
    compact = text.strip()
    if compact == "0":
        return 0
    if not re.fullmatch(PATTERN, compact):
        raise ValueError(f"'{text}' is not a duration")
    units = [unit for _, unit in _PART.findall(compact)]
    if len(set(units)) != len(units):
        raise ValueError(f"'{text}' names a unit twice")
    total = sum(Fraction(number) * UNIT_MS[unit] for number, unit in _PART.findall(compact))
    if total != int(total):
        raise ValueError(f"'{text}' is not a whole number of milliseconds")
    if total > _MOST_MS:
        raise ValueError(f"'{text}' is longer than a hundred years")
    return int(total)


CALENDAR_UNITS: tuple[CalendarUnit, ...] = get_args(CalendarUnit)
WINDOW_PATTERN = rf"^({PATTERN}(\s+every\s+{PATTERN})?|{'|'.join(CALENDAR_UNITS)})$"
LEAST_MS = 1000
"""The shortest window: watermarks are sent with each flush, once a second."""


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """A window as declared. Either `unit` (calendar) or `size_ms` and `hop_ms` are set."""

    size_ms: int = 0
    hop_ms: int = 0
    unit: CalendarUnit | None = None

    def compile(self, timezone: str) -> Window:
        """The compiled window; fixed windows are the same in every time zone."""
        if self.unit is not None:
            return CalendarWindow(self.unit, timezone)
        return FixedWindow(self.size_ms, self.hop_ms)

    def __str__(self) -> str:
        return self.unit or window_text(FixedWindow(self.size_ms, self.hop_ms))


def parse_window(text: str) -> WindowSpec:
    """A window from its text. Raises `wrong`."""
    words = text.split()
    if len(words) == 1 and words[0] in CALENDAR_UNITS:
        return WindowSpec(unit=_unit(words[0]))
    if len(words) not in (1, 3) or (len(words) == 3 and words[1] != "every"):
        raise wrong(f"'{text}' is not a window", _how(text))
    try:
        size_ms = parse(words[0])
        hop_ms = parse(words[2]) if len(words) == 3 else size_ms
    except ValueError as error:
        message = str(error)
        why = "" if message.endswith("is not a duration") else f": {message}"
        raise wrong(f"'{text}' is not a window{why}", _how(text)) from error
    _check_window(size_ms, hop_ms, "hop" if len(words) == 3 else "window")
    return WindowSpec(size_ms, hop_ms)


def _unit(word: str) -> CalendarUnit:
    return next(unit for unit in CALENDAR_UNITS if unit == word)


def _how(text: str) -> str:
    near = nearest(text, (*CALENDAR_UNITS, "monthly", "daily", "weekly", "quarterly", "yearly"))
    plain = {"daily": "day", "weekly": "week", "monthly": "month"}
    plain |= {"quarterly": "quarter", "yearly": "year"}
    if near is not None:
        return f"did you mean '{plain.get(near, near)}'?"
    return f"write `5m`, `5m every 1m`, or one of {', '.join(CALENDAR_UNITS)}"


def _check_window(size_ms: int, hop_ms: int, smaller: str) -> None:
    if min(size_ms, hop_ms) < LEAST_MS:
        raise wrong(
            f"the {smaller} of {duration(min(size_ms, hop_ms))} is too short",
            "the shortest is 1s",
        )
    if size_ms % LEAST_MS or hop_ms % LEAST_MS:
        raise wrong("windows and hops are whole seconds", "leave the milliseconds out")
    if hop_ms > size_ms:
        raise wrong(
            f"the hop of {duration(hop_ms)} is longer than the window of "
            f"{duration(size_ms)}: the events between would never count",
            f"write `{duration(hop_ms)}`, or a hop that divides {duration(size_ms)}",
        )
    if size_ms % hop_ms:
        raise wrong(
            f"the hop of {duration(hop_ms)} does not divide the window of {duration(size_ms)}",
            f"near it: {_near_hops(size_ms, hop_ms)}",
        )


def _near_hops(size_ms: int, hop_ms: int) -> str:
    """The hops of whole seconds around `hop_ms` that divide the window."""
    size, hop = size_ms // 1000, hop_ms // 1000
    below = next(d for d in range(hop, 0, -1) if size % d == 0)
    above = next(d for d in range(hop, size + 1) if size % d == 0)
    return f"{duration(below * 1000)} or {duration(above * 1000)}"
