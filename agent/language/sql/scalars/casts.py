"""Casts between the types of fields."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from sqlglot import exp

from agent.core.model.events import FieldType
from agent.language.sql.expressions import Entry, Scope, SqlType, Typed, fail
from agent.language.sql.scalars.numbers import finite_once

_CAST_TYPES: Mapping[exp.DType, FieldType] = {
    exp.DType.DOUBLE: "float",
    exp.DType.BIGINT: "integer",
    exp.DType.INT: "integer",
    exp.DType.TEXT: "string",
    exp.DType.VARCHAR: "string",
}


def _cast(scope: Scope, node: exp.Cast) -> Typed:
    to = _CAST_TYPES.get(node.to.this)
    if to is None or node.to.expressions:
        fail(
            node, "casts go to double, integer and varchar only", "for example `cast(x as double)`"
        )
    found = scope.translate(node.this)
    if found.type in (to, "null"):
        return Typed(found.cast(to), to)
    if found.type in ("float", "hugeint") and to == "string":
        fail(
            node,
            "a float has no one way of being written",
            "write `cast(cast(x as bigint) as varchar)`",
        )
    if (found.type, to) == ("string", "integer"):
        fail(node, "casts of strings go to double", "write `cast(cast(x as double) as bigint)`")
    return Typed(_converted(found, to), to)


def _converted(found: Typed, to: SqlType) -> pl.Expr:
    if found.type == "string":
        read = found.expr.str.strip_chars().cast(pl.Float64, strict=False)
        return finite_once(read)
    if found.type in ("float", "hugeint") and to == "integer":
        return found.expr.round(0, mode="half_to_even").cast(pl.Int64, strict=False)
    return found.cast(to)


CASTS: Mapping[type[exp.Expression], Entry] = {
    exp.Cast: Entry("this to", _cast),
    exp.TryCast: Entry("this to", _cast),
}
