"""Columns of Avro values as JSON has them, in the types that are demanded.

`avro_json` says what each type means; this is the same for columns as polars read them. A value of
another type than demanded is null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from agent.core.decode.avro_json import PLAIN_RANGES, day, timestamp
from agent.core.decode.avro_schema import TIMESTAMPS, AvroType
from agent.core.decode.format import DType, Kind
from agent.core.decode.tree import text_of

_WHOLE = frozenset({"int", "long"})
_TEXT = frozenset({"string", "enum", "bytes", "fixed"})
_INSIDE = frozenset({"record", "array", "map"})


def is_right(type: AvroType, kind: Kind) -> bool | None:
    """Whether every value of a type that is not null is what it has to be; None: it depends."""
    if kind == "time":
        return True
    if type.logical == "decimal":
        return False if kind in ("boolean", "string") else None
    if type.logical == "date" or "local-" in (type.logical or ""):
        return kind in ("string", "id")
    if type.logical in TIMESTAMPS:  # a number, or text where that could be misread
        return False if kind == "boolean" else None
    if type.kind in _WHOLE:
        return kind in ("integer", "float", "id")
    if type.kind in ("float", "double"):
        return None if kind == "id" else kind == "float"
    if type.kind == "boolean":
        return kind == "boolean"
    return type.kind in _TEXT and kind in ("string", "id")


def converted(raw: pl.Series, type: AvroType, dtype: DType) -> pl.Series:
    """A column of `type`, as polars has it, in another type. Of an enum, every symbol exists."""
    if dtype == pl.String:
        return _text(raw, type)
    value = _value(raw, type)
    if dtype == pl.Boolean and value.dtype == pl.Boolean:
        return value
    if dtype == pl.Float64 and value.dtype.is_numeric():
        return value.cast(pl.Float64)
    if dtype == pl.Int64 and value.dtype.is_integer():
        return value.cast(pl.Int64)
    if dtype == pl.Int64 and type.logical == "decimal" and type.scale == 0:
        return value.cast(pl.Int64, strict=False)
    return pl.Series(raw.name, [None], dtype=dtype).new_from_index(0, len(raw))


def _value(raw: pl.Series, type: AvroType) -> pl.Series:
    """Numbers and booleans as they are; anything else in what polars has it in."""
    if type.kind in ("float", "double"):
        is_finite = raw.is_finite()
        return raw if is_finite.all() else raw.set(~is_finite, None)  # JSON has no others
    if type.kind == "boolean":
        return raw != pl.Series([b"\0"])
    if type.logical in TIMESTAMPS:
        first, end = PLAIN_RANGES[TIMESTAMPS[type.logical]]
        is_plain = ((raw >= first) & (raw < end)) | (raw == 0)
        return raw if is_plain.all() else raw.set(~is_plain, None)
    if type.logical == "date" or type.kind == "enum" or "local-" in (type.logical or ""):
        return raw.cast(pl.String)  # anything that is no number
    return raw


def _text(raw: pl.Series, type: AvroType) -> pl.Series:
    if type.kind == "string":
        return raw
    if type.kind == "enum":
        return pl.Series(type.symbols, dtype=pl.String).gather(raw).alias(raw.name)
    if type.logical in TIMESTAMPS or "local-" in (type.logical or ""):
        return _timestamps(raw, type.logical or "")
    if type.logical == "date":
        return _each(raw, day)
    if type.logical == "uuid":
        digits = raw.bin.encode("hex")
        pattern = r"^(.{8})(.{4})(.{4})(.{4})(.{12})$"
        return digits.str.replace(pattern, "${1}-${2}-${3}-${4}-${5}")
    if type.kind in ("bytes", "fixed") and type.logical is None:
        return raw.bin.encode("base64")
    if type.kind in _INSIDE:
        return pl.select(pl.when(raw.is_not_null()).then(pl.lit("{…}"))).to_series()
    value = _value(raw, type)
    if value.dtype.is_integer():
        return value.cast(pl.String)
    if value.dtype == pl.Boolean:
        return value.replace_strict([True, False], ["true", "false"], return_dtype=pl.String)
    return _each(value, text_of)


def _timestamps(raw: pl.Series, logical: str) -> pl.Series:
    units = TIMESTAMPS[logical.removeprefix("local-")]
    is_local = logical.startswith("local-")
    first, end = PLAIN_RANGES[units]
    if not is_local and ((raw >= first) & (raw < end)).all():
        return raw.cast(pl.String)
    return _each(raw, lambda count: str(timestamp(count, units, is_local=is_local)))


def _each(raw: pl.Series, text: Callable[[Any], str | None]) -> pl.Series:
    """One by one, each different value once."""
    distinct = raw.drop_nulls().unique()
    texts = [text(value) for value in distinct.to_list()]
    return raw.replace_strict(distinct, texts, default=None, return_dtype=pl.String)
