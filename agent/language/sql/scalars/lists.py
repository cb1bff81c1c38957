"""Lists: their length, and whether they contain a value."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from sqlglot import exp

from agent.language.sql.expressions import Entry, Scope, fail
from agent.language.sql.scalars.strings import STRINGS
from agent.language.sql.types import Typed, words


def _length(scope: Scope, node: exp.Length) -> Typed:
    """Of a list, or of a string."""
    typed = scope.translate(node.this)
    if not typed.type.endswith("[]"):
        return STRINGS[exp.Length].translate(scope, node)
    return Typed(typed.expr.list.len().cast(pl.Int64), "integer")


def _size(scope: Scope, node: exp.ArraySize) -> Typed:
    return Typed(_list(scope, node.this).expr.list.len().cast(pl.Int64), "integer")


def _contains(scope: Scope, node: exp.Contains) -> Typed:
    """Of a list, or of a string."""
    if not scope.translate(node.this).type.endswith("[]"):
        return STRINGS[exp.Contains].translate(scope, node)
    return _has(scope, node)


def _has(scope: Scope, node: exp.Contains | exp.ArrayContains) -> Typed:
    typed = _list(scope, node.this)
    element = typed.type[:-2]
    wanted = scope.translate(node.expression)
    if wanted.type == "null":
        return Typed(pl.lit(None, dtype=pl.Boolean), "boolean")
    if wanted.type != element and not (element == "float" and wanted.type == "integer"):
        fail(node.expression, f"{words(typed.type)} can't contain {words(wanted.type)}")
    value = wanted.cast(element)
    has = typed.expr.list.contains(value)
    return Typed(pl.when(typed.expr.is_not_null() & value.is_not_null()).then(has), "boolean")


def _list(scope: Scope, node: exp.Expression) -> Typed:
    typed = scope.translate(node)
    if not typed.type.endswith("[]"):
        hint = "declare the field as a list: `type: [string]`"
        fail(node, f"a list is needed here, this is {words(typed.type)}", hint)
    return typed


LISTS: Mapping[type[exp.Expression], Entry] = {
    exp.Length: Entry("this", _length),
    exp.ArraySize: Entry("this", _size),
    exp.Contains: Entry("this expression", _contains),
    exp.ArrayContains: Entry("this expression", _has),
}
