"""Percentages and rates in conditions, `-20%` and `2% per week`, which SQL does not have.

They are replaced by names of the same length, so that positions in the text stay the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

PER_DAYS: Mapping[str, float] = {
    "minute": 1 / 1440,
    "hour": 1 / 24,
    "day": 1,
    "week": 7,
    "month": 365.2425 / 12,
    "quarter": 365.2425 / 4,
    "year": 365.2425,
}
"""The units of rates, in days, of the mean Gregorian year."""

_NUMBER = re.compile(
    r"(?<![\w.])(?P<number>\d+(?:_\d+)*(?:\.\d+)?)"
    r"(?P<percent>\s?%(?!\s*[\w(.'\"+-])|\s?%(?=\s*(?:per|and|or|then|else|end|between)\b))?"
    rf"(?P<per>\s+per\s+(?:{'|'.join(PER_DAYS)})\b)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Number:
    """A percentage or rate as written: 20 % is a `value` of 0.2; `per_days` None: it is no rate."""

    value: float
    percent: bool
    per_days: float | None

    @property
    def a_day(self) -> float:
        """The rate per day."""
        return self.value / (self.per_days or 1)


def marked(text: str) -> tuple[str, dict[str, Number]]:
    """The text with a name of the same length for each percentage and rate, and these by name."""
    numbers: dict[str, Number] = {}

    def name(match: re.Match[str]) -> str:
        if match["percent"] is None and match["per"] is None:
            return match[0]
        percent = match["percent"] is not None
        value = float(match["number"].replace("_", "")) / (100 if percent else 1)
        per = None if match["per"] is None else PER_DAYS[match["per"].split()[1].lower()]
        placeholder = f"n{len(numbers)}".ljust(len(match[0]), "_")
        if len(placeholder) > len(match[0]):  # `5%`, the tenth and later of them
            return match[0]
        numbers[placeholder] = Number(value, percent, per)
        return placeholder

    pieces = re.split(r"('[^']*'|\"[^\"]*\")", text)
    return "".join(p if i % 2 else _NUMBER.sub(name, p) for i, p in enumerate(pieces)), numbers
