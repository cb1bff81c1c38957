"""Fields: options that fit the type, and each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from agent.core.model.field_types import EpochUnit, FieldType
from agent.language.declared import Declared, Entry
from agent.language.models.events import EventSpec
from agent.language.models.fields import FieldSpec, ReadBooleans
from agent.language.source import Place

_NUMBERS: tuple[FieldType, ...] = ("integer", "float", "decimal")
_TIMES: tuple[FieldType, ...] = ("timestamp", "date")

_TYPES: Mapping[str, tuple[FieldType, ...]] = {
    "minimum": _NUMBERS,
    "maximum": _NUMBERS,
    "scale": ("decimal",),
    "read": (*_NUMBERS, "boolean"),
    "format": _TIMES,
    "enum": ("string",),
    "ignore_case": ("string",),
    "pattern": ("string",),
    "min_length": ("string",),
    "max_length": ("string",),
}
"""The types of fields that an option is for."""


def check(declared: Declared, entry: Entry[EventSpec], at: Place, spec: FieldSpec) -> None:
    """Check one field."""
    for key, types in _TYPES.items():
        if spec.type not in types and key in spec.model_fields_set:
            message = f"`{key}` on a field of type {_written(spec.type)}"
            hint = f"only {_list(types)} fields have it"
            declared.report(entry, (*at, key), message, hint, on="key")
    _bounds(declared, entry, at, spec)
    if spec.ignore_case and spec.enum is None:
        message = "`ignore_case` without `enum`"
        declared.report(entry, (*at, "ignore_case"), message, "list the values in `enum`", on="key")
    if spec.ignore_case and spec.enum:
        _folded(declared, entry, at, spec.enum)
    _times(declared, entry, at, spec)
    _reading(declared, entry, at, spec)


def _reading(declared: Declared, entry: Entry[EventSpec], at: Place, spec: FieldSpec) -> None:
    if spec.read is None or spec.type not in _TYPES["read"]:
        return
    is_boolean = spec.type == "boolean"
    if is_boolean != isinstance(spec.read, ReadBooleans):
        kind = "true and false are" if is_boolean else "a number is"
        hint = '{true: [1, "Y"], false: [0, "N"]}' if is_boolean else '`text` or "1,234.50"'
        declared.report(entry, (*at, "read"), f"this is not how {kind} written", hint, on="key")


def _bounds(declared: Declared, entry: Entry[EventSpec], at: Place, spec: FieldSpec) -> None:
    lengths = spec.min_length, spec.max_length
    for low, high, (least, most) in (
        ("minimum", "maximum", (spec.minimum, spec.maximum)),
        ("min_length", "max_length", lengths),
    ):
        if least is not None and most is not None and least > most:
            words = (low, high) if low == "minimum" else (f"`{low}`", f"`{high}`")
            message = f"the {words[0]} {least:g} is above the {words[1]} {most:g}"
            declared.report(entry, (*at, low), message, "no event could pass: swap them")


def _folded(declared: Declared, entry: Entry[EventSpec], at: Place, values: list[str]) -> None:
    seen: dict[str, str] = {}
    for i, value in enumerate(values):
        other = seen.setdefault(value.lower(), value)
        if other != value:
            message = f"'{value}' and '{other}' are the same value with `ignore_case`"
            declared.report(entry, (*at, "enum", i), message, "keep one")


def _times(declared: Declared, entry: Entry[EventSpec], at: Place, spec: FieldSpec) -> None:
    if spec.type not in _TIMES or spec.unit is None:
        return
    units = get_args(EpochUnit)
    if spec.unit not in units:
        message = f"'{spec.unit}' is not a unit of an epoch number"
        declared.report(entry, (*at, "unit"), message, f"one of {', '.join(units)}")
    elif spec.format is not None:
        message = "`format` and `unit`: a time is text or a number"
        declared.report(entry, (*at, "unit"), message, "keep one", on="key")


def _written(type_: FieldType) -> str:
    return f"[{type_.removesuffix('[]')}]" if type_.endswith("[]") else type_


def _list(types: tuple[str, ...]) -> str:
    return types[0] if len(types) == 1 else f"{', '.join(types[:-1])} and {types[-1]}"
