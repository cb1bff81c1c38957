"""The types of an event's fields: dtypes in a contract's table, and formats of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

FieldType = Literal[
    "string",
    "integer",
    "float",
    "boolean",
    "decimal",
    "timestamp",
    "date",
    "string[]",
    "integer[]",
    "float[]",
    "boolean[]",
]
FieldDType = pl.DataType | type[pl.DataType]

FIELD_DTYPES: Mapping[FieldType, FieldDType] = {
    "string": pl.String,
    "integer": pl.Int64,
    "float": pl.Float64,
    "boolean": pl.Boolean,
    "decimal": pl.Int64,
    "timestamp": pl.Datetime("us", "UTC"),
    "date": pl.Date,
    "string[]": pl.List(pl.String),
    "integer[]": pl.List(pl.Int64),
    "float[]": pl.List(pl.Float64),
    "boolean[]": pl.List(pl.Boolean),
}
"""The columns of a contract's table. A decimal is its value times 10^scale: whole numbers, whose
sums are exact (docs/decisions/0032-decimals-as-whole-numbers.md)."""

DECIMAL_DIGITS = 18
"""The digits of a decimal field, before and after the point together: what 64 bits hold, as in
DuckDB's DECIMAL(18, scale)."""
DEFAULT_SCALE = 4
"""The most decimals that a currency has as minor units (ISO 4217: CLF, UYW)."""

EpochUnit = Literal["s", "ms", "us", "ns", "day"]


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How a time is written: strftime directives, or the unit of a number since the epoch. Exactly
    one of them is set."""

    format: str | None = None
    unit: EpochUnit | None = None


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How numbers are written as text: the thousands separator ("": none), the decimal separator
    ("": whole numbers only), and optional text before and after the digits."""

    group: str = ""
    decimal: str = "."
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class BooleanFormat:
    """The values that mean true and false, as text."""

    true: tuple[str, ...]
    false: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextRule:
    """What a string must satisfy. `values`: the allowed strings, in any case if `ignore_case`.
    `pattern`: a regular expression of the Rust regex crate, which may match anywhere. Lengths are
    in characters."""

    values: tuple[str, ...] = ()
    ignore_case: bool = False
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None


ValueFormat = TimeFormat | NumberFormat | BooleanFormat
