"""The columns of an event, as SQL and `by` know them: its fields, those from lookups, and those
computed from them."""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.model.events import FieldType
from agent.language.compile.fields import scale_of
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models.events import EventSpec
from agent.language.models.lookups import LookupFieldSpec
from agent.language.recovery import KEY
from agent.language.sql.compiler import compile_column
from agent.language.sql.expressions import SqlProblem
from agent.language.sql.types import SqlType, sql_type


def read_columns_of(declared: Declared, event: Entry[EventSpec]) -> dict[str, SqlType | None]:
    """The columns that are not computed from others."""
    columns: dict[str, SqlType | None] = {
        name: None if _is_hole(event, "fields", name) else sql_type(spec.type, scale_of(spec))
        for name, spec in event.model.fields.items()
    }
    for name, of_lookup in event.model.lookup.items():
        known = not _is_hole(event, "lookup", name)
        columns.setdefault(name, _type(declared, of_lookup) if known else None)
    return columns


def columns_of(declared: Declared, event: Entry[EventSpec]) -> dict[str, SqlType | None]:
    """The columns of an event with their types; None: unknown, because of an error."""
    columns = read_columns_of(declared, event)
    if event.model.computed:
        given = {name: type_ for name, type_ in columns.items() if type_ is not None}
        zone = zone_of(declared, event.model.timezone)
        for name, text in event.model.computed.items():
            columns.setdefault(name, _computed_type(text, given, zone))
    return columns


def columns_read_by(declared: Declared, event: Entry[EventSpec], name: str) -> list[str]:
    """The columns that a computed field is computed from; of another, itself."""
    if name not in event.model.computed:
        return [name]
    columns = read_columns_of(declared, event)
    given = {column: type_ for column, type_ in columns.items() if type_ is not None}
    zone = zone_of(declared, event.model.timezone)
    try:
        expr = compile_column(event.model.computed[name], given, zone).expr
    except SqlProblem:
        return []
    return expr.meta.root_names()


def _computed_type(text: str, fields: Mapping[str, SqlType], zone: str) -> SqlType | None:
    try:
        return compile_column(text, fields, zone).type
    except SqlProblem:
        return None  # reported by `agent.language.compile.statements`


def may_have_more(event: Entry[EventSpec]) -> bool:
    """Whether an event may have other columns, which an error hides."""
    sections = ("fields", "lookup", "computed")
    return any(hole in event.holes for s in sections for hole in ((s,), (s, KEY)))


def _type(declared: Declared, spec: LookupFieldSpec) -> FieldType | None:
    lookup = declared.lookups.get(spec.lookup)
    if lookup is None or lookup.has_hole("columns", spec.of_lookup) or lookup.has_hole("key"):
        return None
    return lookup.model.type_of(spec.of_lookup)


def _is_hole(event: Entry[EventSpec], section: str, name: str) -> bool:
    paths = ((section, name), (section, name, "type"), (section, name, "column"))
    return any(path in event.holes for path in paths)
