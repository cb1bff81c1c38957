"""The types of an event's fields: what a contract's table holds, and how a value may be written."""

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
"""Of a decimal field, before and behind the point together: what 64 bits hold, and DuckDB's
DECIMAL(18, scale)."""
DEFAULT_SCALE = 4
"""The most decimals that a currency has as minor units (ISO 4217: CLF, UYW)."""

EpochUnit = Literal["s", "ms", "us", "ns", "day"]


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How a time is written, where it is not to be recognised: a format of strftime's directives,
    or the unit of a number since the epoch. One of them is given."""

    format: str | None = None
    unit: EpochUnit | None = None


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How numbers are written as text: the sign between groups of three digits ("": none), the
    decimal sign ("": whole numbers only), and what may stand before and after the digits."""

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
    """What a text has to be. `values`: one of these, in any case if `ignore_case`. `pattern`: a
    regular expression of the Rust regex crate, which matches anywhere in it. Lengths in characters.
    """

    values: tuple[str, ...] = ()
    ignore_case: bool = False
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None


ValueFormat = TimeFormat | NumberFormat | BooleanFormat
