"""JSON Schemas of the values that a contract reads: of fields, times and identities.

They accept what the decoder does (`core.decode.field_values`, `core.decode.time_text`), as far as
JSON Schema can say it; docs/producers.md lists what it can't. Patterns are ECMA 262's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.core.decode.field_values import time_words
from agent.core.model.events import Field, TimeSource
from agent.core.model.field_types import (
    DECIMAL_DIGITS,
    BooleanFormat,
    NumberFormat,
    TextRule,
    TimeFormat,
)

Schema = dict[str, Any]

ID: Schema = {"type": ["string", "integer"]}
_TYPES: Mapping[str, str] = {
    "string": "string",
    "integer": "integer",
    "float": "number",
    "boolean": "boolean",
}
_DIGITS = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_INTEGER = r"^\s*[+-]?[0-9]+\s*$"
_NUMBER = rf"^\s*[+-]?{_DIGITS}\s*$"
_NOT_NEGATIVE = rf"^\s*(?:\+?{_DIGITS}|-(?:0+\.?0*|\.0+))\s*$"
_EPOCH = r"^[+-]?[0-9]{1,20}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?$"
_EPOCH_DAY = rf"{_EPOCH}|^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$"
_LIST = r"^\s*\["
_FIRST_DATE, _FIRST_TIME = 1000_01_01, 1970_01_01
"""The least numbers, except 0, that are read as a time of a field, and of an event."""
_LAST_DATE = 9999_12_31
_SIGN = "[-+\N{MINUS SIGN}]"
_SPECIAL = re.compile(r"[\\^$.*+?()\[\]{}|/]")


def of_time(source: TimeSource) -> Schema:
    """The schema of an event's time, or of its date."""
    if source.time_of_day is not None:
        leaf = _time(source.format, _FIRST_TIME) | {"description": f"The date of {_parts(source)}."}
        return leaf if source.format else {**leaf, "maximum": _LAST_DATE}
    words = (
        "ISO 8601, RFC 3339, or an epoch" if source.format is None else time_words(source.format)
    )
    return {**_time(source.format, _FIRST_TIME), "description": f"When it happened: {words}."}


def time_of_day(source: TimeSource) -> Schema:
    """The schema of the time of day that completes a date."""
    return {"type": "string", "description": f"The time of day of {_parts(source)}."}


def _parts(source: TimeSource) -> str:
    words = "ISO 8601" if source.format is None else time_words(source.format)
    return f"when it happened ({source}: {words})"


def of_type(value: str) -> Schema:
    """The schema of an event's type."""
    ways = _ways(value)
    return {"enum": ways} if len(ways) > 1 else {"const": value}


def of_field(field: Field) -> Schema:
    """The schema of a field that is not null."""
    if field.as_sql is not None:  # what is made of a value says little of the value
        field = replace(field, text=None, minimum=None, maximum=None)
    leaf: Schema = {**described(field.description), **_typed(field)}
    for name, bound in (("minimum", field.minimum), ("maximum", field.maximum)):
        if bound is not None:
            leaf[name] = int(bound) if bound.is_integer() else bound
    if field.unit:
        leaf["x-unit"] = field.unit
    return leaf


def or_null(leaf: Schema) -> Schema:
    """A schema that accepts null, too."""
    types = leaf.get("type", [])
    types = [types] if isinstance(types, str) else types
    nullable = {**leaf, "type": [*types, "null"]} if types else dict(leaf)
    if "enum" in leaf:
        nullable["enum"] = [*leaf["enum"], None]
    return nullable


def described(text: str) -> Schema:
    """A description, if there is one."""
    return {"description": text} if text else {}


def _typed(field: Field) -> Schema:
    element, _, is_list = field.type.partition("[")
    if is_list:  # or its JSON in a string
        items = or_null({"type": _TYPES[element]})
        return {"type": ["array", "string"], "items": items, "pattern": _LIST}
    if field.type in ("timestamp", "date"):
        return _time(field.format, _FIRST_DATE)
    if isinstance(field.format, BooleanFormat):
        values = (*field.format.true, *field.format.false)
        return {"enum": [way for value in values for way in _ways(value)]}
    if field.type == "decimal" or field.format is not None:
        return _number(field)
    return {"type": _TYPES[field.type], **({} if field.text is None else _text_rule(field.text))}


def _time(format: Any, first: int) -> Schema:
    """A time; small numbers are no epoch. `first`: the least one that is a date."""
    if not isinstance(format, TimeFormat):
        return {"type": ["string", "number"], "anyOf": [{"minimum": first}, {"const": 0}]}
    if format.unit is None:
        return {"type": ["string", "number"]}
    pattern = _EPOCH_DAY if format.unit == "day" else _EPOCH
    return {"type": ["number", "string"], "pattern": pattern}


def _number(field: Field) -> Schema:
    """A number, or its text in the field's format. Bounds of JSON Schema are for numbers only; that
    a text is not negative is a pattern."""
    form = field.format if isinstance(field.format, NumberFormat) else NumberFormat()
    is_integer = field.type == "integer"
    patterns = [_INTEGER if is_integer else _NOT_NEGATIVE if field.minimum == 0 else _NUMBER]
    if form != NumberFormat():
        written = _pattern(form, is_integer=is_integer, is_signed=field.minimum != 0)
        # A point between thousands: the text 1.234 is a thousand, not a plain number.
        patterns = [written] if form.group == "." else [*patterns, written]
    leaf: Schema = {"type": ["integer" if is_integer else "number", "string"]}
    leaf["pattern"] = "|".join(patterns)
    if field.type == "decimal":
        most = 10 ** (DECIMAL_DIGITS - field.scale)
        leaf |= {"exclusiveMinimum": -most, "exclusiveMaximum": most}
    return leaf


def _pattern(form: NumberFormat, *, is_integer: bool, is_signed: bool) -> str:
    """The texts that are numbers in a format."""

    def around(text: str) -> str:
        return f"(?:{_escaped(text.strip())})?" if text.strip() else ""

    group = r"[ \u00a0\u202f\u2009]" if form.group == " " else _escaped(form.group)
    digits = f"(?:[0-9]+|[0-9]{{1,3}}(?:{group}[0-9]{{3}})+)" if form.group else "[0-9]+"
    if form.decimal and not is_integer:
        digits = f"{digits}(?:{_escaped(form.decimal)}[0-9]+)?"
    sign = _SIGN if is_signed else "[+]"
    prefix, suffix = around(form.prefix), around(form.suffix)
    before = rf"(?:{sign}\s*{prefix}\s*|{prefix}\s*{sign}?)"  # one sign, on either side
    return rf"^\s*{before}{digits}\s*{suffix}\s*$"


def _text_rule(rule: TextRule) -> Schema:
    known: Schema = {
        "enum": None if rule.ignore_case else list(rule.values) or None,
        "pattern": rule.pattern,
        "minLength": rule.min_length,
        "maxLength": rule.max_length,
    }
    if rule.ignore_case and rule.values:
        folded = f"^(?:{'|'.join(map(_folded, rule.values))})$"
        known |= {"pattern": folded} if rule.pattern is None else {"allOf": [{"pattern": folded}]}
    return {name: value for name, value in known.items() if value is not None}


def _folded(text: str) -> str:
    """A pattern of a text in any case."""
    return "".join(map(_any_case, text))


def _any_case(char: str) -> str:
    cases = {char, char.lower(), char.upper()}
    same = sorted(case for case in cases if len(case) == 1 and case.lower() == char.lower())
    return f"[{''.join(same)}]" if len(same) > 1 else _escaped(char)


def _ways(value: str) -> list[Any]:
    """The values that match a text: `3` is "3"."""
    if re.fullmatch(r"-?(0|[1-9][0-9]*)|true|false", value):
        return [value, json.loads(value)]
    return [value]


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
