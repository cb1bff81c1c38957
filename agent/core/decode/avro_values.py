"""Converts columns of Avro values, as polars reads them, to the demanded dtypes.

`avro_json` defines the conversion for single values; this is the same for columns. A value of
another type than demanded is null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from agent.core.decode.avro_schema import TIMESTAMPS, AvroType
from agent.core.decode.format import DType, Kind
from agent.core.decode.schema_times import PLAIN_RANGES, day, timestamp
from agent.core.decode.tree import text_of

INSIDE = frozenset({"record", "array", "map"})


def is_right(type: AvroType, kind: Kind) -> bool | None:
    """Whether every value of a type (except null) has the required kind; None: it depends on the
    value."""
    return True if kind == "time" else _is_right(type).get(kind, False)


def _is_right(type: AvroType) -> Mapping[Kind, bool | None]:
    """By kind, whether values of a type have it; kinds that are not listed are wrong."""
    if type.logical == "decimal":
        return {"integer": None, "float": None, "id": None}
    if type.logical in TIMESTAMPS:  # a number, or text where that could be misread
        return dict.fromkeys(("integer", "float", "string", "id"))
    if type.logical == "date" or (type.logical is not None and type.kind == "long"):
        return {"string": True, "id": True}
    return _RIGHT.get(type.kind, {})


_RIGHT: Mapping[str, Mapping[Kind, bool | None]] = {
    "int": {"integer": True, "float": True, "id": True},
    "long": {"integer": True, "float": True, "id": True},
    "float": {"float": True, "id": None},
    "double": {"float": True, "id": None},
    "boolean": {"boolean": True},
    "string": {"string": True, "id": True},
    "enum": {"string": True, "id": True},
    "bytes": {"string": True, "id": True},
    "fixed": {"string": True, "id": True},
}


def converted(raw: pl.Series, type: AvroType, dtype: DType) -> pl.Series:
    """A column of an Avro type as another dtype. All indices of an enum must be in range."""
    if dtype == pl.String:
        return _text(raw, type)
    value = _value(raw, type)
    if dtype == pl.Boolean and value.dtype == pl.Boolean:
        return value
    if dtype == pl.Float64 and value.dtype.is_numeric():
        return value.cast(pl.Float64)
    if dtype == pl.Int64 and value.dtype.is_integer():
        return value.cast(pl.Int64, strict=False)
    if dtype == pl.Int64 and type.logical == "decimal" and type.scale == 0:
        return value.cast(pl.Int64, strict=False)
    return pl.Series(raw.name, [None], dtype=dtype).new_from_index(0, len(raw))


def _value(raw: pl.Series, type: AvroType) -> pl.Series:
    """Numbers and booleans as they are, without values that JSON or a contract can't have."""
    if type.kind in ("float", "double"):
        is_finite = raw.is_finite()
        return raw if is_finite.all() else raw.set(~is_finite, None)  # not in JSON
    if type.kind == "boolean" and raw.dtype == pl.Binary:
        return raw != pl.Series([b"\0"])
    if type.logical in TIMESTAMPS:
        first, end = PLAIN_RANGES[TIMESTAMPS[type.logical]]
        is_plain = ((raw >= first) & (raw < end)) | (raw == 0)
        return raw if is_plain.all() else raw.set(~is_plain, None)
    if type.logical == "date" or type.kind == "enum" or "local-" in (type.logical or ""):
        return raw.cast(pl.String)  # neither a number nor a boolean
    if type.kind in INSIDE:  # only its presence matters
        return pl.select(pl.when(raw.is_not_null()).then(pl.lit("{}"))).to_series()
    return raw


def _text(raw: pl.Series, type: AvroType) -> pl.Series:
    logical = type.logical or ""
    if logical.removeprefix("local-") in TIMESTAMPS:
        return _timestamps(raw, logical)
    if logical == "date":
        return _each(raw, day)
    if logical == "uuid" and type.kind == "fixed":
        return raw.bin.encode("hex").str.replace(_UUID_DIGITS, "${1}-${2}-${3}-${4}-${5}")
    if logical == "decimal":
        return _each(raw, _number_text)
    return _TEXTS.get(type.kind, _each_number)(raw, type)


def _each_number(raw: pl.Series, type: AvroType) -> pl.Series:
    return _each(_value(raw, type), _number_text)


_UUID_DIGITS = r"^(.{8})(.{4})(.{4})(.{4})(.{12})$"
_TEXTS: Mapping[str, Callable[[pl.Series, AvroType], pl.Series]] = {
    "string": lambda raw, _: raw,
    "enum": lambda raw, type: pl.Series(type.symbols, dtype=pl.String).gather(raw),
    "int": lambda raw, _: raw.cast(pl.String),
    "long": lambda raw, _: raw.cast(pl.String),
    "bytes": lambda raw, _: raw.bin.encode("base64"),
    "fixed": lambda raw, _: raw.bin.encode("base64"),
    "boolean": lambda raw, type: _value(raw, type).cast(pl.String),
}


def _number_text(value: float | Decimal) -> str:
    """A number in its shortest decimal form, whole numbers without decimals."""
    text = text_of(value) or ""
    whole, _, decimals = text.partition(".")
    return whole if not decimals.strip("0") else text


def _timestamps(raw: pl.Series, logical: str) -> pl.Series:
    units = TIMESTAMPS[logical.removeprefix("local-")]
    is_local = logical.startswith("local-")
    first, end = PLAIN_RANGES[units]
    low, high = raw.min(), raw.max()
    if not is_local and (low is None or (first <= low and high < end)):  # type: ignore[operator]
        return raw.cast(pl.String)
    return _each(raw, lambda count: str(timestamp(count, units, is_local=is_local)))


def _each(raw: pl.Series, text: Callable[[Any], str | None]) -> pl.Series:
    """Convert values one by one, each distinct value once."""
    distinct = raw.drop_nulls().unique()
    texts = [text(value) for value in distinct.to_list()]
    return raw.replace_strict(distinct, texts, default=None, return_dtype=pl.String)
