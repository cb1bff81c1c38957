"""Lookups: columns that exist, keys of the right type, names that no other field has."""

from __future__ import annotations

from agent.language.compile.fields import may_have_more
from agent.language.declared import Declared, Entry
from agent.language.models.events import EventSpec
from agent.language.models.lookups import ColumnType, LookupFieldSpec, LookupSpec
from agent.language.problems import suggest
from agent.language.source import Place


def check(declared: Declared) -> None:
    """Check every lookup, and every field that comes from one."""
    for entry in declared.lookups.values():
        _lookup(declared, entry)
    for event in declared.events.values():
        for name, spec in event.model.lookup.items():
            _name(declared, event, name)
            _field(declared, event, name, spec)


def _lookup(declared: Declared, entry: Entry[LookupSpec]) -> None:
    model = entry.model
    _source(declared, entry)
    for i, key in enumerate(model.keys):
        at: Place = ("key", i) if isinstance(model.key, list) else ("key",)
        if key in model.keys[:i]:
            declared.report(entry, at, f"'{key}' is given twice", "keep one")
        if model.type_of(key) == "float":
            message = f"the key '{key}' is a float: equal values may differ in bits"
            declared.report(entry, at, message, "use a string, integer or boolean column")
    is_timed = entry.is_written("from") or entry.is_written("topic")
    if model.until is not None and not is_timed:
        hint = "add `from`: the column with the time from which a row is valid"
        declared.report(entry, ("until",), "`until` without `from`", hint, on="key")


def _source(declared: Declared, entry: Entry[LookupSpec]) -> None:
    if not entry.is_written("file") and not entry.is_written("topic"):
        hint = "add `file: rates.csv`, or `topic: rates`"
        declared.report(entry, (), "neither `file` nor `topic`", hint, on="key")
    elif entry.is_written("file") and entry.is_written("topic"):
        hint = "keep one: rows are read from one place"
        declared.report(entry, ("topic",), "both `file` and `topic`", hint, on="key")


def _name(declared: Declared, event: Entry[EventSpec], name: str) -> None:
    model = event.model
    others = [*model.fields, *model.computed, *(other for other in model.lookup if other != name)]
    same = [other for other in others if other.casefold() == name.casefold()]
    if same:
        message = f"'{name}' is a field of {event.name} already"
        hint = f"rename one of the two: `{name}_looked_up: …`"
        declared.report(event, ("lookup", name), message, hint, on="key")


def _field(declared: Declared, event: Entry[EventSpec], name: str, spec: LookupFieldSpec) -> None:
    at: Place = ("lookup", name)
    written_long = isinstance(_written(event, name), dict)
    at_column: Place = (*at, "column") if written_long else at
    if not declared.check_reference(event, at_column, "lookups", spec.lookup):
        return
    entry = declared.lookups.get(spec.lookup)
    if entry is None or entry.holes:
        return
    lookup = entry.model
    if lookup.type_of(spec.of_lookup) is None:
        names = {*lookup.columns, *lookup.keys}
        hint = suggest(spec.of_lookup, names, f"columns of {spec.lookup}")
        message = f"{spec.lookup} declares no column '{spec.of_lookup}'"
        declared.report(event, at_column, message, hint)
    keys = spec.keys(lookup)
    at_key: Place = (*at, "key") if spec.key is not None else at_column
    if len(keys) != len(lookup.keys):
        message = f"the key of {spec.lookup} is {', '.join(lookup.keys)}"
        declared.report(event, at_key, message, f"name {len(lookup.keys)} fields of the event")
        return
    for key, column in zip(keys, lookup.keys, strict=True):
        _key(declared, event, at_key, key, f"{spec.lookup}.{column}", lookup.type_of(column))


def _key(
    declared: Declared,
    event: Entry[EventSpec],
    at: Place,
    key: str,
    column: str,
    wanted: ColumnType | None,
) -> None:
    field = event.model.fields.get(key)
    if field is None:
        if may_have_more(event) or event.has_hole("fields", key):
            return
        if key in event.model.lookup:
            message = f"the key '{key}' comes from a lookup itself"
            declared.report(event, at, message, "a key must be a field of the event")
            return
        message = f"'{key}', the key of {column.partition('.')[0]}, is not a field of {event.name}"
        hint = suggest(key, event.model.fields, f"fields of {event.name}")
        hint += f"; `key:` says what the event calls {column}"
        declared.report(event, at, message, hint)
    elif not event.has_hole("fields", key) and field.type != wanted:
        message = f"'{key}' is of type {field.type}, {column} of type {wanted}"
        hint = "give both the same type: a lookup's key column has its own in `columns`"
        declared.report(event, at, message, hint)


def _written(event: Entry[EventSpec], name: str) -> object:
    data = event.source.data
    return data["events"][event.name]["lookup"].get(name) if isinstance(data, dict) else None
