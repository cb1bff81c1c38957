"""Durations: `<number><unit>` with ms, s, m, h, d, w, combined as in `1h30m`."""

from __future__ import annotations

import re
from fractions import Fraction

UNIT_MS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
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


def show(span_ms: int) -> str:
    """The shortest way to write a span: 5400000 is `1h30m`."""
    if span_ms == 0:
        return "0s"
    rest, parts = span_ms, []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, UNIT_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
