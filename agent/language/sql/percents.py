"""`-20%` and `2% per week` in conditions: numbers that SQL has no way to write.

They are put into the text as names of the same length, so that every position stays what it was.
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
"""A speed is per one of these; their length in days, of the Gregorian year on average."""

_NUMBER = re.compile(
    r"(?<![\w.])(?P<number>\d+(?:_\d+)*(?:\.\d+)?)"
    r"(?P<percent>\s?%(?!\s*[\w(.'\"+-])|\s?%(?=\s*(?:per|and|or|then|else|end|between)\b))?"
    rf"(?P<per>\s+per\s+(?:{'|'.join(PER_DAYS)})\b)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written: 20 % is a `value` of 0.2; `per_days` None: it is no speed."""

    value: float
    percent: bool
    per_days: float | None

    @property
    def a_day(self) -> float:
        """As a speed, it is so much a day."""
        return self.value / (self.per_days or 1)


def marked(text: str) -> tuple[str, dict[str, Number]]:
    """The text with a name of the same length for each such number, and the numbers by name."""
    numbers: dict[str, Number] = {}

    def name(match: re.Match[str]) -> str:
        if match["percent"] is None and match["per"] is None:
            return match[0]
        percent = match["percent"] is not None
        value = float(match["number"].replace("_", "")) / (100 if percent else 1)
        per = None if match["per"] is None else PER_DAYS[match["per"].split()[1].lower()]
        made = f"n{len(numbers)}".ljust(len(match[0]), "_")
        if len(made) > len(match[0]):  # `5%`, the tenth and later of them
            return match[0]
        numbers[made] = Number(value, percent, per)
        return made

    pieces = re.split(r"('[^']*'|\"[^\"]*\")", text)
    return "".join(p if i % 2 else _NUMBER.sub(name, p) for i, p in enumerate(pieces)), numbers
