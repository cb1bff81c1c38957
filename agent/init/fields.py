"""The fields of a draft: their names, types, and the form of their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from agent.core.model.field_types import DECIMAL_DIGITS, DEFAULT_SCALE, FieldType
from agent.core.model.paths import Path, Root
from agent.core.output.labels import RESERVED_LABELS
from agent.init.naming import (
    CODES,
    DURATIONS,
    IDENTIFIERS,
    LASTS,
    TIME_WORDS,
    amounts_in,
    free,
    unit_beside,
    unit_of,
    words_of,
)
from agent.init.places import depth, keys_before, long_name_of, name_of, written
from agent.init.sample import Seen

LEAST_CONSTANT = 20
"""A text that is the same in so many events gets no field."""
_FIRST_DAY, _LAST_DAY = 10_957, 25_567
"""2000 and 2040 as days since 1970, as Kafka Connect and Debezium write dates."""
_NUMBERS = frozenset({
    "$numberInt", "$numberLong", "$numberDecimal", "$numberDouble", "N", "intValue", "int_value",
    "doubleValue",
})  # fmt: skip
"""The keys by which MongoDB, DynamoDB, OpenTelemetry and Google Analytics mark a text as a
number."""


@dataclass(frozen=True, slots=True)
class FieldDraft:
    """A field of a contract: its name, path, and how it is read. `read`, `scale`, `format` and
    `required` as in rules; `epoch`: the unit of a number that is a time; `values`: of an enum."""

    name: str
    path: Path
    type: FieldType
    unit: str | None = None
    read: str | None = None
    scale: int | None = None
    format: str | None = None
    epoch: str | None = None
    required: bool = False
    values: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether it is numeric."""
        return self.type in ("integer", "float", "decimal")


def fields_of(
    seen: Mapping[Path, Seen], without: Iterable[Path]
) -> tuple[list[FieldDraft], dict[Path, str]]:
    """The fields for KPIs: those of one type, under names that SQL accepts; and why others are left
    out.

    That all events of a sample have a field, or that none is negative, is no guarantee of the
    producer: no field is required or has bounds.
    """
    spelled_fields: list[FieldDraft] = []
    left_out: dict[Path, str] = {}
    skipped = frozenset(without)
    for path, part in seen.items():
        if path in skipped or written(path) is None or path == (Root("key_text"),):
            continue
        if any(len(path) < len(other) and other[: len(path)] == path for other in seen):
            continue  # a value in some events, an object in others; or an array of objects
        spelled = _spelled(part)
        if spelled is None:
            continue
        if spelled.type in ("string", "boolean") and (reason := _constant(part)):
            left_out[path] = reason
            continue
        spelled_fields.append(spelled)
    names = names_of([field.path for field in spelled_fields])
    return [replace(f, name=name) for f, name in zip(spelled_fields, names, strict=True)], left_out


def _constant(part: Seen) -> str | None:
    """Why a text that is always the same is left out; None for a currency."""
    is_whole = part.known == part.count >= LEAST_CONSTANT
    if part.distinct != 1 or not is_whole or name_of(part.path).endswith("currency"):
        return None
    (value,) = part.values
    return "always empty" if value == "" else f"always {value}"


def names_of(paths: Sequence[Path]) -> list[str]:
    """Names for paths that SQL accepts and that a dimension can have: if several have the same last
    part, only one nearer to the top gets it as its name, the others are prefixed with the object
    that they are in."""
    alike: dict[str, list[Path]] = {}
    for path in paths:
        alike.setdefault(name_of(path), []).append(path)
    names: list[str] = []
    for path in paths:
        others = [other for other in alike[name_of(path)] if other != path]
        is_first = all(depth(path) < depth(other) for other in others)
        name = name_of(path) if is_first else long_name_of(path)
        names.append(free(_allowed(name), names))
    return names


def _allowed(name: str) -> str:
    """A name, or a longer one if it is a word of SQL, or a label that the agent sets itself."""
    if name in RESERVED_LABELS:
        return f"{name}_name"
    return name if _is_column(name) else f"{name}_value"


def _spelled(part: Seen) -> FieldDraft | None:
    """How the values of a field are written, as a field without a name; None: in several ways."""
    name, path = name_of(part.path), part.path
    unit = unit_of(keys_before(path)[-1])
    if words_of(name)[-1] in CODES and part.type == "string":
        return FieldDraft("", path, "string")
    is_named = bool(set(words_of(name)) & TIME_WORDS)
    if part.is_time and not part.naive and (is_named or not part.is_number_in_text):
        return FieldDraft("", path, "timestamp")
    if part.is_number_in_text and (part.distinct > 1 or _is_amount(path, name)):
        return _decimal(part, unit)
    if _is_count_in_text(part, name):
        return FieldDraft("", path, "integer", unit, read="text")
    return _text(part, unit) if part.type == "string" else _scalar(part, name, unit)


def _decimal(part: Seen, unit: str | None) -> FieldDraft:
    """The field of numbers that are written as text."""
    scale = _scale(part)
    if scale is None:
        return FieldDraft("", part.path, "float", unit, read="text")
    return FieldDraft("", part.path, "decimal", unit, scale=scale)


def _scalar(part: Seen, name: str, unit: str | None) -> FieldDraft | None:
    """The field of values that are not text."""
    if part.type == "float" and any(isinstance(value, Decimal) for value in part.values):
        return FieldDraft("", part.path, "decimal", unit)
    if part.type == "integer" and name.endswith(("date", "day")) and _are_days(part):
        return FieldDraft("", part.path, "date", epoch="day")
    return None if part.type is None else FieldDraft("", part.path, part.type, _unit(part, unit))


def _text(part: Seen, unit: str | None) -> FieldDraft:
    """The field of texts, which may be times or numbers."""
    if form := part.format:
        kind: FieldType = "timestamp" if "%H" in form or "%I" in form else "date"
        return FieldDraft("", part.path, kind, format=form)
    if example := part.number_example:
        unit = unit_beside(example) or unit
        return FieldDraft("", part.path, "decimal", unit, read=example)
    return FieldDraft("", part.path, "string")


def _unit(part: Seen, unit: str | None) -> str | None:
    return unit if part.type in ("integer", "float") else None


def _scale(part: Seen) -> int | None:
    """The decimals of numbers in text; None if a decimal can't have as many."""
    most = max(part.decimals)
    if most > DECIMAL_DIGITS // 2 or part.kinds["float"]:
        return DEFAULT_SCALE if most <= DEFAULT_SCALE else None
    return most if {*part.decimals} <= {0, most} and most else max(DEFAULT_SCALE, most)


def _is_count_in_text(part: Seen, name: str) -> bool:
    """Whether whole numbers in text are amounts, not codes."""
    if not part.number_texts or part.number_texts != part.known or part.decimals != {0}:
        return False
    if part.path[-1] in _NUMBERS:
        return True
    return _is_amount(part.path, name) and not {*name.split("_")} & IDENTIFIERS


def _is_amount(path: Path, name: str) -> bool:
    """Whether a number is an amount, by its name or that of its object."""
    is_lasting = words_of(name)[-1] in LASTS or unit_of(name) in DURATIONS
    return path[-1] in _NUMBERS or is_lasting or bool(amounts_in(name))


def _are_days(part: Seen) -> bool:
    return all(_FIRST_DAY <= value < _LAST_DAY for value in part.values)


def _is_column(name: str) -> bool:
    """Whether SQL accepts a name as that of a column; `select` is none."""
    try:
        tree = sqlglot.parse_one(f"select count({name})", dialect="duckdb")
    except SqlglotError:
        return False
    return any(column.name == name for column in tree.find_all(exp.Column))
