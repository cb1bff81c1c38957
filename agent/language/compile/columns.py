"""The columns of an event, as SQL and `by` know them: its fields, and those from lookups."""

from __future__ import annotations

from agent.core.model.events import FieldType
from agent.language.compile.fields import scale_of
from agent.language.declared import Declared, Entry
from agent.language.models.events import EventSpec
from agent.language.models.lookups import LookupFieldSpec
from agent.language.recovery import KEY
from agent.language.sql.types import SqlType, sql_type


def columns_of(declared: Declared, event: Entry[EventSpec]) -> dict[str, SqlType | None]:
    """The columns of an event with their types; None: unknown, because of an error."""
    columns: dict[str, SqlType | None] = {
        name: None if _is_hole(event, "fields", name) else sql_type(spec.type, scale_of(spec))
        for name, spec in event.model.fields.items()
    }
    for name, of_lookup in event.model.lookup.items():
        known = not _is_hole(event, "lookup", name)
        columns.setdefault(name, _type(declared, of_lookup) if known else None)
    return columns


def may_have_more(event: Entry[EventSpec]) -> bool:
    """Whether an event may have other columns, which an error hides."""
    sections = ("fields", "lookup")
    return any(hole in event.holes for s in sections for hole in ((s,), (s, KEY)))


def _type(declared: Declared, spec: LookupFieldSpec) -> FieldType | None:
    lookup = declared.lookups.get(spec.lookup)
    if lookup is None or lookup.has_hole("columns", spec.of_lookup) or lookup.has_hole("key"):
        return None
    return lookup.model.type_of(spec.of_lookup)


def _is_hole(event: Entry[EventSpec], section: str, name: str) -> bool:
    places = ((section, name), (section, name, "type"), (section, name, "column"))
    return any(place in event.holes for place in places)
