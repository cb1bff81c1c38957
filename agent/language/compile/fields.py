"""Fields of events as they run; and the columns of an event, as SQL and `by` know them: its fields,
those from lookups, and those computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import polars as pl

from agent.core.model.events import Field, FieldType
from agent.core.model.field_types import (
    DEFAULT_SCALE,
    EpochUnit,
    NumberFormat,
    TextRule,
    TimeFormat,
    ValueFormat,
)
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models.events import EventSpec
from agent.language.models.fields import FieldSpec, ReadBooleans, number_format
from agent.language.models.lookups import LookupFieldSpec
from agent.language.recovery import KEY
from agent.language.sql.compiler import compile_column
from agent.language.sql.expressions import SqlProblem
from agent.language.sql.types import SqlType, sql_type

TIMES = ("timestamp", "date")


def make_field(name: str, spec: FieldSpec, computed: pl.Expr | None = None) -> Field:
    """A field, defaults filled in. `computed`: what its `as` compiled to."""
    return Field(
        name=name,
        path=spec.path or (name,),
        type=spec.type,
        required=spec.required,
        minimum=spec.minimum,
        maximum=spec.maximum,
        unit=spec.unit,
        scale=scale_of(spec),
        format=_format(spec),
        text=_text(spec),
        description=spec.description or "",
        as_sql=None if spec.as_ is None else spec.as_.strip(),
        computed=computed,
    )


def scale_of(spec: FieldSpec) -> int:
    """The decimals of a field."""
    if spec.type != "decimal":
        return 0
    return DEFAULT_SCALE if spec.scale is None else spec.scale


def time_format(format: str | None, unit: str | None) -> TimeFormat | None:
    """How a time is written, None where it is recognised."""
    if format is None and unit is None:
        return None
    return TimeFormat(format, cast(EpochUnit | None, unit))


def _format(spec: FieldSpec) -> ValueFormat | None:
    if spec.type in TIMES:
        return time_format(spec.format, spec.unit)
    if isinstance(spec.read, ReadBooleans):
        return spec.read.format()
    if spec.read is not None:
        return NumberFormat() if spec.read == "text" else number_format(spec.read)
    return None


def _text(spec: FieldSpec) -> TextRule | None:
    rule = TextRule(
        tuple(spec.enum or ()),
        spec.ignore_case,
        spec.pattern,
        spec.min_length,
        spec.max_length,
    )
    return None if rule == TextRule() else rule


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
