"""Fields of events as they run."""

from __future__ import annotations

from typing import cast

import polars as pl

from agent.core.model.events import Field
from agent.core.model.field_types import (
    DEFAULT_SCALE,
    EpochUnit,
    NumberFormat,
    TextRule,
    TimeFormat,
    ValueFormat,
)
from agent.language.models.fields import FieldSpec, ReadBooleans, number_format

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
