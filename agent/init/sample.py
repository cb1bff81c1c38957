"""What a sample of events looks like: every field with its types, values and times."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from agent.core.decode.time_text import parse_time
from agent.core.model.events import FieldType

MOST_DISTINCT = 1_000
"""So many values of a field are shown apart; beyond, it has "many"."""

DEEPEST = 4
"""Fields nested deeper are left out."""


_NUMBER = re.compile(r"-?[0-9]{1,9}(?:\.([0-9]+))?")

LEAST_EPOCH_MS = 10**12
"""September 2001: a number that stands for an earlier time is taken for something else."""


@dataclass(slots=True)
class Seen:
    """One field over all events of a sample."""

    path: str
    count: int = 0
    nulls: int = 0
    kinds: Counter[FieldType] = field(default_factory=Counter)
    values: Counter[Any] = field(default_factory=Counter)
    least: float | None = None
    most: float | None = None
    times: int = 0
    naive: int = 0
    number_texts: int = 0
    has_decimals: bool = False

    def add(self, value: Any) -> None:
        """Take in the field of one more event."""
        self.count += 1
        if value is None:
            self.nulls += 1
            return
        self.kinds[_kind(value)] += 1
        if len(self.values) < MOST_DISTINCT or value in self.values:
            self.values[value] += 1
        if isinstance(value, str) and (number := _NUMBER.fullmatch(value)):
            self.number_texts += 1
            self.has_decimals |= number[1] is not None
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.least = value if self.least is None else min(self.least, value)
            self.most = value if self.most is None else max(self.most, value)
        at_ms = None if isinstance(value, bool) else parse_time(str(value), "UTC")
        # A small number can be read as a time, too, and mostly is none.
        if at_ms is not None and (at_ms >= LEAST_EPOCH_MS or "-" in str(value)):
            self.times += 1
            # What says no offset means another instant in another zone.
            self.naive += parse_time(str(value), "Asia/Tokyo") != parse_time(str(value), "UTC")

    @property
    def known(self) -> int:
        """How many events have a value there."""
        return self.count - self.nulls

    @property
    def type(self) -> FieldType | None:
        """The type that all values have; None where there is none, or several."""
        kinds = set(self.kinds)
        if kinds == {"integer", "float"}:
            return "float"
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def is_number_in_text(self) -> bool:
        """Whether all values are numbers, of which some are written as text: with decimals, or
        beside others that are not. Whole numbers as text alone are codes."""
        numbers = self.kinds["integer"] + self.kinds["float"]
        if not self.number_texts or self.distinct < 2:
            return False
        return self.number_texts + numbers == self.known and bool(self.has_decimals or numbers)

    @property
    def distinct(self) -> int:
        """How many values there are, up to `MOST_DISTINCT`."""
        return len(self.values)

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers."""
        return self.type in ("integer", "float")


def profile(events: Iterable[Mapping[str, Any]]) -> dict[str, Seen]:
    """Every field by its dotted path, in the order in which they come. Lists are left out."""
    fields: dict[str, Seen] = {}
    for event in events:
        for path, value in flat(event):
            fields.setdefault(path, Seen(path)).add(value)
    return fields


def flat(event: Mapping[str, Any], above: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The fields of an event by their dotted paths."""
    for name, value in event.items():
        path = f"{above}{name}"
        if "." in name or not name:
            continue
        if isinstance(value, dict):
            if depth < DEEPEST:
                yield from flat(value, f"{path}.", depth + 1)
        elif not isinstance(value, list):
            yield path, value


def left_out(events: Iterable[Mapping[str, Any]], seen: Mapping[str, Seen]) -> dict[str, str]:
    """The parts of the events that no field is made of, by path, and why."""
    reasons: dict[str, str] = {}
    for event in events:
        for path, reason in _unread(event):
            reasons.setdefault(path, reason)
    for path, seen_field in seen.items():
        if seen_field.known and seen_field.type is None and not seen_field.is_number_in_text:
            reasons[path] = f"of several types: {', '.join(sorted(seen_field.kinds))}"
        elif seen_field.values and all(_is_json(value) for value in seen_field.values):
            reasons[path] = "text that holds JSON"
    return reasons


def _unread(event: Mapping[str, Any], above: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    for name, value in event.items():
        path = f"{above}{name}"
        if not name or "." in name:
            yield path, "its name has a dot: a list of keys as `path` reads it"
        elif isinstance(value, list):
            yield f"{path}[]", "a list"
        elif isinstance(value, dict) and depth < DEEPEST:
            yield from _unread(value, f"{path}.", depth + 1)
        elif isinstance(value, dict):
            yield path, "nested too deeply"


def _is_json(value: Any) -> bool:
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return False
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def _kind(value: Any) -> FieldType:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "float"
    return "float" if isinstance(value, float | Decimal) else "string"
