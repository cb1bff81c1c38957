"""Durations: `<number><unit>` with ms, s, m, h, d, w, combined as in `1h30m`."""

from __future__ import annotations

import re
from fractions import Fraction

from agent.core.model.text import UNIT_MS, duration

__all__ = ["PATTERN", "UNIT_MS", "parse", "show"]

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
