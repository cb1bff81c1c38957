"""The static types of SQL expressions, and expressions that have one.

A decimal is stored as a whole number, its value times 10^scale: `decimal(2)` in 64 bits for fields,
`hugedecimal(2)` in 128 bits for aggregates. Arithmetic with decimals, integers and literals is
exact; with a float, the result is a float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from agent.core.model.field_types import (
    DECIMAL_DIGITS,
    DEFAULT_SCALE,
    FIELD_DTYPES,
    FieldDType,
    FieldType,
)

SqlType = str
"""A field's type (a decimal with its scale), `hugeint`, `hugedecimal(scale)` or `null`.

`hugeint`: a whole number of any size, a column of which may be Int128 or, where some of its values
are no whole numbers after all, Float64. Aggregates of integers are."""

WIDE = pl.Int128
_WORDS: Mapping[SqlType, str] = {
    "string": "a string",
    "integer": "an integer",
    "hugeint": "an integer",
    "float": "a float",
    "boolean": "a boolean",
    "timestamp": "a timestamp",
    "date": "a date",
    "null": "null",
}
_DTYPES: Mapping[SqlType, FieldDType] = {
    **FIELD_DTYPES,  # type: ignore[dict-item]
    "hugeint": WIDE,
    "null": pl.Null,
}
_WHOLE = ("integer", "hugeint")


def decimal_type(scale: int, *, huge: bool = False) -> SqlType:
    """The type of decimals with a scale."""
    return f"{'huge' if huge else ''}decimal({scale})"


def sql_type(type_: FieldType, scale: int = DEFAULT_SCALE) -> SqlType:
    """The type of a field; `scale`: of a decimal."""
    return decimal_type(scale) if type_ == "decimal" else type_


def is_decimal(type_: SqlType) -> bool:
    """Whether it is a type of decimals."""
    return type_.startswith(("decimal(", "hugedecimal("))


def is_huge(type_: SqlType) -> bool:
    """Whether values may need 128 bits."""
    return type_.startswith("huge")


def scale_of(type_: SqlType) -> int:
    """The decimals of a type of exact numbers."""
    return int(type_[type_.index("(") + 1 : -1]) if is_decimal(type_) else 0


def words(type_: SqlType) -> str:
    """A type, for people."""
    if is_decimal(type_):
        return "a decimal"
    return f"a list of {type_[:-2]}s" if type_.endswith("[]") else _WORDS[type_]


@dataclass(frozen=True, slots=True)
class Typed:
    """A polars expression and its static SQL type. `literal`: its text, if it is a literal number
    or string."""

    expr: pl.Expr
    type: SqlType
    literal: str | None = None

    @property
    def is_number(self) -> bool:
        """Whether it can be used in arithmetic; NULL is of every type."""
        return self.type in ("integer", "hugeint", "float", "null") or is_decimal(self.type)

    @property
    def is_exact(self) -> bool:
        """Whether arithmetic with a decimal is exact."""
        if self.type == "float" and self.literal is not None:
            return _decimals(self.literal) <= DECIMAL_DIGITS
        return self.type in (*_WHOLE, "null") or is_decimal(self.type)

    @property
    def scale(self) -> int:
        """The decimals of an exact number."""
        is_written = self.type == "float" and self.literal is not None
        return _decimals(self.literal or "") if is_written else scale_of(self.type)

    def cast(self, type_: SqlType) -> pl.Expr:
        """The expression widened to a type."""
        if is_decimal(type_):
            return self.scaled(scale_of(type_))
        if type_ == "float" and is_decimal(self.type):
            return _as_float(self.expr, self.type)
        if type_ == "float" and self.type != "float":
            return self.expr.cast(pl.Float64)
        if type_ == "hugeint" and self.type == "integer":
            return self.expr  # goes with either dtype
        return self.expr if self.type == type_ else self.expr.cast(_DTYPES[type_])

    def scaled(self, scale: int) -> pl.Expr:
        """An exact number times 10^scale, as Int128."""
        if self.type == "float":
            return pl.lit(int(Decimal(self.literal or "").scaleb(scale)), dtype=WIDE)
        wide = self.expr.cast(WIDE)
        return wide if scale == self.scale else wide * int(10 ** (scale - self.scale))


def _as_float(expr: pl.Expr, type_: SqlType) -> pl.Expr:
    """The double nearest to a decimal; the integer part is exact below 2^53."""
    if not is_huge(type_):
        return expr.cast(pl.Float64) / 10.0 ** scale_of(type_)
    unit = int(10 ** scale_of(type_))
    wide = expr.cast(WIDE)
    size = wide.abs()
    nearest = (size // unit).cast(pl.Float64) + (size % unit).cast(pl.Float64) / float(unit)
    return nearest * wide.sign().cast(pl.Float64)


def _decimals(literal: str) -> int:
    exponent = Decimal(literal).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def common_type(operands: Sequence[Typed]) -> SqlType | None:
    """The type that all operands widen to; None: there is none."""
    types = {typed.type for typed in operands} - {"null"}
    if len(types) < 2:
        return types.pop() if types else "null"
    if types == {"timestamp", "date"}:
        return "timestamp"
    if not all(typed.is_number for typed in operands):
        return None
    if any(map(is_decimal, types)) and all(typed.is_exact for typed in operands):
        scale = max(typed.scale for typed in operands)
        return decimal_type(scale, huge=any(map(is_huge, types)))
    if types <= set(_WHOLE):
        return "hugeint"
    return "float"
