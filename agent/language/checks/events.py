"""Contracts: formats and schemas, paths that can exist in one JSON object, and fields whose options
fit the type and each other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import get_args

from agent.core.model.events import REGISTRY
from agent.core.model.field_types import EpochUnit, FieldType
from agent.core.model.paths import Elements, Path, Root, path_text
from agent.language.compile.contracts import make_topics
from agent.language.declared import Declared, Entry
from agent.language.models.events import EnvelopeSpec, EventSpec, TimeSpec
from agent.language.models.fields import FieldSpec, ReadBooleans
from agent.language.source import Place


def check(declared: Declared) -> None:
    """Check every event."""
    _formats(declared)
    for entry in declared.events.values():
        _schema(declared, entry)
    for entry in declared.events.values():
        for name, spec in entry.model.fields.items():
            _field(declared, entry, ("fields", name), spec)
        _time(declared, entry)
        _cases(declared, entry)
        _computed_names(declared, entry)
        _paths(declared, entry)
        _roots(declared, entry)


def _formats(declared: Declared) -> None:
    """Report events that read one topic in different formats."""
    entries = list(declared.events.values())
    for number, entry in enumerate(entries):
        topics = make_topics(entry.model)
        shared = (
            (topic, other)
            for other in entries[:number]
            if (topic := topics.shared_with(make_topics(other.model))) is not None
        )
        topic, other = next(shared, (topics.default, entry))
        for key, own, its in zip(_READ_WITH, _read_with(entry), _read_with(other), strict=True):
            if own != its:
                message = (
                    f"topic {topic} has the {key} {own} here, and {its} for event '{other.name}'"
                )
                at = (key,) if key in _given(entry) else ("topic",)
                declared.report(entry, at, message, "all records of a topic have one format")
                break


_READ_WITH = ("format", "schema", "message")


def _read_with(entry: Entry[EventSpec]) -> tuple[str, str, str]:
    """The format, schema and message of an event, for messages."""
    model = entry.model
    schema = model.schema_ or ("none" if model.format == "json" else REGISTRY)
    return model.format, schema, model.message or "the first one"


def _given(entry: Entry[EventSpec]) -> set[str]:
    return {name.removesuffix("_") for name in entry.model.model_fields_set}


def _schema(declared: Declared, entry: Entry[EventSpec]) -> None:
    """Report a schema or a message that the event's format does not have."""
    model = entry.model
    has_file = model.schema_ not in (None, REGISTRY)
    if model.format == "json" and has_file:
        message = f"the format json has no schema file '{model.schema_}'"
        hint = "`schema: registry` where records begin with a schema's id; else leave it out"
        declared.report(entry, ("schema",), message, hint)
    if model.message is not None and not (model.format == "protobuf" and has_file):
        message = "`message` has no effect: the records name their own"
        hint = "`message` is for the format protobuf with a schema file"
        declared.report(entry, ("message",), message, hint, on="key")


def _names_schemas(model: EventSpec) -> bool:
    return model.format != "json" and model.schema_ in (None, REGISTRY)


def _time(declared: Declared, entry: Entry[EventSpec]) -> None:
    time = entry.model.time
    if isinstance(time, list):
        _alternatives(declared, entry, time)
    for i, spec in enumerate(time if isinstance(time, list) else [time]):
        at: Place = ("time", i, "unit") if isinstance(time, list) else ("time", "unit")
        if spec.format is not None and spec.unit is not None:
            message = "`format` and `unit`: a time is text or a number"
            declared.report(entry, at, message, "keep one", on="key")
        elif spec.time_of_day is not None and spec.unit is not None:
            message = "`time_of_day` and `unit`: a date and a time of day are text, no number"
            hint = 'leave `unit` out, or write a `format`: "%Y%m%d %H%M%S"'
            declared.report(entry, at, message, hint, on="key")


def _alternatives(declared: Declared, entry: Entry[EventSpec], times: list[TimeSpec]) -> None:
    """Warn of a date and a time of day, by their names, that are declared as alternatives."""
    for i, (date, clock) in enumerate(pairwise(times)):
        name = str(date.path[-1]).lower()
        is_pair = "date" in name and name.replace("date", "time") == str(clock.path[-1]).lower()
        has_more = (date.model_fields_set | clock.model_fields_set) - {"path"}
        if is_pair and date.path[:-1] == clock.path[:-1] and not has_more:
            day, of_day = path_text(date.path), path_text(clock.path)
            message = f"'{of_day}' is read only where '{day}' is absent"
            hint = f"if it is the time of day: {{path: {day}, time_of_day: {of_day}}}"
            declared.report(entry, ("time", i + 1), message, hint, severity="warning")


def _cases(declared: Declared, entry: Entry[EventSpec]) -> None:
    seen: dict[str, str] = {}
    for name in entry.model.fields:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            message = f"'{name}' and '{other}' differ only in case, which SQL does not distinguish"
            declared.report(
                entry, ("fields", name), message, "rename one, and give it a `path`", on="key"
            )


def _computed_names(declared: Declared, entry: Entry[EventSpec]) -> None:
    """A computed field is another than those that are read."""
    known = {name.casefold() for name in entry.model.fields}
    for name in entry.model.computed:
        if name.casefold() in known:
            message = f"'{name}' is a field of {entry.name} already"
            hint = "give it a name of its own; or compute the field from its value alone: `as:`"
            declared.report(entry, ("computed", name), message, hint, on="key")
        known.add(name.casefold())


def _paths(declared: Declared, entry: Entry[EventSpec]) -> None:
    """Report paths that are both an object and a value."""
    used = _used(entry.model)
    for path, at, what in used:
        for other, _, other_what in used:
            if len(path) > len(other) and path[: len(other)] == other:
                message = (
                    f"{what} is inside '{path_text(other)}', which {other_what} reads as a value"
                )
                declared.report(entry, at, message, "it cannot be both an object and a value")
                break


def _roots(declared: Declared, entry: Entry[EventSpec]) -> None:
    """Report paths that begin in an envelope or an array that the event does not declare."""
    model = entry.model
    each = () if model.each is None else (*model.each, Elements())
    spec = model.envelope
    around = (spec.list or ()) if isinstance(spec, EnvelopeSpec) else ()
    for path, at, what in _used(model):
        root = path[0].part if path and isinstance(path[0], Root) else None
        if root == "envelope" and model.envelope is None:
            hint = "name the envelope: `envelope: cloudevents`"
            declared.report(entry, at, f"{what} is in an envelope, but the event has none", hint)
        if root == "schema" and not _names_schemas(model):
            hint = "`{record: schema}` is for avro and protobuf with `schema: registry`"
            declared.report(entry, at, f"{what} is the record's schema, but it names none", hint)
        if root == "index" and model.each is None:
            hint = "name the array: `each: line_items`"
            declared.report(
                entry, at, f"{what} is the position in an array, but there is no `each`", hint
            )
        last = max((i for i, step in enumerate(path) if step == Elements()), default=-1)
        arrays = path[: last + 1]
        if root == "envelope" and arrays:
            if arrays[1:] != around[:last]:
                message = f"{what} is in each element of '{path_text(arrays[1:-1])}'"
                declared.report(entry, at, message, _outer_arrays(around))
        elif arrays and at == ("type_field",):
            hint = "the type is of the event, not of an element"
            declared.report(entry, at, "type_field is inside an array", hint)
        elif arrays != each[: len(arrays)]:
            message = f"{what} is in each element of '{path_text(arrays[:-1])}'"
            hint = f"declare a contract for these: `each: {path_text(arrays[:-1])}`"
            declared.report(entry, at, message, hint)


def _outer_arrays(events: Path) -> str:
    """The hint that names the arrays around the events of a list."""
    last = max((i for i, step in enumerate(events) if step == Elements()), default=-1)
    if last < 0:
        return "no other array is around the events: write an index, as lines[0].price"
    return f"the events are in the elements of others: begin with {path_text(events[: last + 1])}"


def _used(model: EventSpec) -> list[tuple[Path, Place, str]]:
    """The paths that a contract reads, each with its place in the file and its purpose."""
    used: list[tuple[Path, Place, str]] = []
    times = model.time if isinstance(model.time, list) else [model.time]
    for i, time in enumerate(times):
        at: Place = ("time", i) if isinstance(model.time, list) else ("time",)
        used.append((time.path, at, "time"))
        if time.time_of_day is not None:
            used.append((time.time_of_day, (*at, "time_of_day"), "time_of_day"))
    if model.type_field is not None:
        used.append((model.type_field, ("type_field",), "type_field"))
    used += [(path, ("id",), "id") for path in model.id or ()]
    for name, spec in model.fields.items():
        used.append((spec.path or (name,), ("fields", name, "path"), f"field '{name}'"))
    return used


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


def _field(declared: Declared, entry: Entry[EventSpec], at: Place, spec: FieldSpec) -> None:
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
