"""Literals, and arguments that must be literals."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl
from sqlglot import exp

from agent.language.sql.expressions import Entry, Scope, fail
from agent.language.sql.types import Typed


def text_written(node: exp.Expression, what: str, example: str) -> str:
    """A string literal; SqlProblem if it is anything else."""
    if not (isinstance(node, exp.Literal) and node.is_string):
        fail(node, f"{what} has to be written out", example)
    return node.name


def integer_written(node: exp.Expression, what: str, example: str) -> int:
    """A literal of a whole number; SqlProblem if it is anything else."""
    sign, digits = (-1, node.this) if isinstance(node, exp.Neg) else (1, node)
    if not (isinstance(digits, exp.Literal) and not digits.is_string and digits.name.isdigit()):
        fail(node, f"{what} has to be a whole number", example)
    return sign * int(digits.name)


def _literal(_scope: Scope, node: exp.Literal) -> Typed:
    if node.is_string:
        return Typed(pl.lit(node.name, dtype=pl.String), "string", node.name)
    if node.name.isdigit() and int(node.name) < 2**63:
        return Typed(pl.lit(int(node.name), dtype=pl.Int64), "integer", node.name)
    try:
        value = float(node.name)
    except ValueError:
        fail(node, f"`{node.name}` is not a number")
    if math.isinf(value):
        fail(node, "this number is too large")
    return Typed(pl.lit(value, dtype=pl.Float64), "float", node.name)


def _boolean(_scope: Scope, node: exp.Boolean) -> Typed:
    return Typed(pl.lit(bool(node.this), dtype=pl.Boolean), "boolean")


def _null(_scope: Scope, _node: exp.Null) -> Typed:
    return Typed(pl.lit(None), "null")


def _paren(scope: Scope, node: exp.Paren) -> Typed:
    return scope.translate(node.this)


LITERALS: Mapping[type[exp.Expression], Entry] = {
    exp.Literal: Entry("this", _literal),
    exp.Boolean: Entry("this", _boolean),
    exp.Null: Entry("", _null),
    exp.Paren: Entry("this", _paren),
}
