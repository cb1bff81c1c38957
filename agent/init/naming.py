"""What names say: words, units, and what they are called in rules."""

from __future__ import annotations

import re
from collections.abc import Container
from itertools import chain, count

UNITS = {
    "seconds": "seconds", "secs": "seconds", "sec": "seconds", "s": "seconds",
    "ms": "milliseconds", "msec": "milliseconds", "millis": "milliseconds",
    "milliseconds": "milliseconds", "minutes": "minutes", "mins": "minutes", "hours": "hours",
    "days": "days", "bytes": "bytes", "kb": "kilobytes", "mb": "megabytes", "ratio": "ratio",
    "share": "ratio", "eur": "eur", "usd": "usd", "gbp": "gbp", "chf": "chf", "cents": "cents",
    "percent": "percent", "pct": "percent", "stars": "stars", "units": "units", "km": "kilometres",
    "kg": "kilograms", "celsius": "celsius", "kwh": "kilowatt_hours",
}  # fmt: skip
"""What the last word of a field's name says about its unit."""
DURATIONS = frozenset({"seconds", "milliseconds", "minutes", "hours", "days"})
_SIGNS = {"$": "usd", "€": "eur", "£": "gbp", "%": "percent"}


def snake(text: str) -> str:
    """A name as KPIs and fields are called: `invoice.placedAt` is `invoice_placed_at`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    return name if name[:1].isalpha() else f"n_{name}".rstrip("_")


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case."""
    return snake(name).split("_")


def unit_of(name: str) -> str | None:
    """The unit that the name of a number says: `wait_seconds`, `Amount ($)`."""
    signs = [unit for sign, unit in _SIGNS.items() if sign in name]
    return signs[0] if signs else UNITS.get(words_of(name)[-1])


def free(name: str, used: Container[str]) -> str:
    """A name, numbered where it is taken."""
    numbered = (f"{name}_{i}" for i in count(2))
    return next(candidate for candidate in chain((name,), numbered) if candidate not in used)
