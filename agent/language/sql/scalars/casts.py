"""Casts between the types of fields."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from sqlglot import exp

from agent.core.decode.field_values import scaled
from agent.core.model.field_types import DECIMAL_DIGITS
from agent.language.sql.expressions import Entry, Scope, fail, written_time
from agent.language.sql.instants import in_zone, local
from agent.language.sql.scalars.numbers import finite_once, half_away
from agent.language.sql.types import SqlType, Typed, decimal_type, is_decimal, scale_of, words

_CAST_TYPES: Mapping[exp.DType, SqlType] = {
    exp.DType.DOUBLE: "float",
    exp.DType.BIGINT: "integer",
    exp.DType.INT: "integer",
    exp.DType.TEXT: "string",
    exp.DType.VARCHAR: "string",
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMP: "timestamp",
    exp.DType.TIMESTAMPNTZ: "timestamp",
    exp.DType.TIMESTAMPTZ: "timestamp",
}
_DECIMAL = (18, 3)
"""DuckDB's precision and scale of what is `decimal` alone."""
_TIMES = ("timestamp", "date")


def _cast(scope: Scope, node: exp.Cast) -> Typed:
    to = _target(node)
    if to in _TIMES:
        return _to_time(scope, node, to)
    typed = scope.translate(node.this)
    if typed.type in (to, "null"):
        return Typed(typed.cast(to), to)
    if typed.type in _TIMES or typed.type.endswith("[]"):
        hint = "`strftime(x, '%Y-%m-%d')` writes it, `epoch(x)` is its seconds since 1970"
        fail(node, f"{words(typed.type)} has no cast", hint if typed.type in _TIMES else None)
    if (typed.type in ("float", "hugeint") or is_decimal(typed.type)) and to == "string":
        fail(
            node,
            f"{words(typed.type)} has no one way of being written",
            "write `cast(cast(x as bigint) as varchar)`",
        )
    if (typed.type, to) == ("string", "integer"):
        fail(node, "casts of strings go to double", "write `cast(cast(x as double) as bigint)`")
    return Typed(_converted(typed, to), to)


def _target(node: exp.Cast) -> SqlType:
    kind, parameters = node.to.this, [each.name for each in node.to.expressions]
    if kind is exp.DType.DECIMAL and all(each.isdigit() for each in parameters):
        digits, scale = (*map(int, parameters), *_DECIMAL[len(parameters) :])[:2]
        if digits > DECIMAL_DIGITS or scale > digits:
            fail(node, f"a decimal has at most {DECIMAL_DIGITS} digits", "`decimal(18, 2)`")
        return decimal_type(scale)
    to = _CAST_TYPES.get(kind)
    if to is None or parameters:
        fail(
            node,
            "casts go to double, integer, decimal, varchar, date and timestamp only",
            "for example `cast(x as double)`",
        )
    return to


def _to_time(scope: Scope, node: exp.Cast, to: SqlType) -> Typed:
    inner = node.this
    if isinstance(inner, exp.Literal) and inner.is_string:
        return written_time(inner, inner.name, to, scope.timezone)
    typed = scope.translate(inner)
    if typed.type == "string":
        hint = f"let the contract read it: `type: {to}`, with a `format` where it is not ISO 8601"
        fail(node, f"a string is not cast to a {to}", hint)
    if typed.type not in (*_TIMES, "null"):
        fail(node, f"{words(typed.type)} is not a {to}", "`type: timestamp` with a `unit` reads it")
    if to == "date" and typed.type == "timestamp":
        return Typed(local(typed, scope.timezone).dt.date(), "date")
    return Typed(in_zone(typed, to, scope.timezone), to)


def _converted(typed: Typed, to: SqlType) -> pl.Expr:
    if is_decimal(to):
        return _as_decimal(typed, scale_of(to))
    if typed.type == "string":
        read = typed.expr.str.strip_chars().cast(pl.Float64, strict=False)
        return finite_once(read)
    if is_decimal(typed.type) and to == "integer":
        whole = half_away(typed.expr.cast(pl.Int128), 10**typed.scale)
        return whole.cast(pl.Int64, strict=False)
    if typed.type in ("float", "hugeint") and to == "integer":
        return typed.expr.round(0, mode="half_to_even").cast(pl.Int64, strict=False)
    return typed.cast(to)


def _as_decimal(typed: Typed, scale: int) -> pl.Expr:
    """As DuckDB does: rounded half away from zero; null where it has too many digits."""
    if typed.type == "string":
        return scaled(typed.expr.str.strip_chars(), scale)
    if typed.type == "float" and typed.literal is None:
        unscaled = (typed.expr * 10.0**scale).round(0, mode="half_away_from_zero")
        unscaled = unscaled.cast(pl.Int128, strict=False)
    elif typed.is_exact and typed.scale <= scale:
        unscaled = typed.scaled(scale)
    elif typed.is_exact:
        unscaled = half_away(typed.scaled(typed.scale), 10 ** (typed.scale - scale))
    else:
        unscaled = typed.expr.cast(pl.Int128) * 10**scale
    narrow = unscaled.cast(pl.Int64, strict=False)
    return pl.when(narrow.abs() < 10**DECIMAL_DIGITS).then(narrow)


CASTS: Mapping[type[exp.Expression], Entry] = {
    exp.Cast: Entry("this to", _cast),
    exp.TryCast: Entry("this to", _cast),
}
