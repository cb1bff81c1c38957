"""Comparisons, three-valued logic, and choosing between values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial, reduce

import polars as pl
from sqlglot import exp

from agent.language.sql import instead
from agent.language.sql.expressions import Entry, Scope, fail, refuse_unsupported
from agent.language.sql.types import Typed

# A predicate beside a predicate: DuckDB and the parser disagree on which one binds first.
_PREDICATES = (exp.Predicate, exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Not)


def operand(node: exp.Expression) -> exp.Expression:
    """An operand of a predicate. Raises SqlProblem for a predicate without parentheses."""
    if isinstance(node, _PREDICATES) and not isinstance(node, exp.Func):
        hint = "put the inner condition in parentheses"
        if node.find(exp.BitwiseAnd, exp.BitwiseOr) is not None:
            hint = instead.LOGIC
        fail(node, "the order of evaluation is ambiguous", hint)
    return node


def _comparison(compare: Callable[..., pl.Expr], scope: Scope, node: exp.Binary) -> Typed:
    (a, b), type_ = scope.same([operand(node.this), operand(node.expression)])
    if type_ == "null":
        a, b = a.cast(pl.Boolean), b.cast(pl.Boolean)
    return Typed(compare(a, b), "boolean")


def _logical(combine: Callable[..., pl.Expr], scope: Scope, node: exp.Connector) -> Typed:
    a, b = scope.of(node.this, "boolean"), scope.of(node.expression, "boolean")
    return Typed(combine(a, b), "boolean")


def _not(scope: Scope, node: exp.Not) -> Typed:
    return Typed(~scope.of(node.this, "boolean"), "boolean")


def _is(scope: Scope, node: exp.Is) -> Typed:
    subject = operand(node.this)
    if isinstance(node.expression, exp.Null):
        return Typed(scope.translate(subject).expr.is_null(), "boolean")
    if isinstance(node.expression, exp.Boolean):
        typed = scope.of(subject, "boolean")
        return Typed(typed.eq_missing(pl.lit(bool(node.expression.this))), "boolean")
    refuse_unsupported(scope.text, node)


def _between(scope: Scope, node: exp.Between) -> Typed:
    ends = [operand(node.this), operand(node.args["low"]), operand(node.args["high"])]
    (value, low, high), _ = scope.same(ends)
    return Typed((value >= low) & (value <= high), "boolean")


def _in(scope: Scope, node: exp.In) -> Typed:
    if not node.expressions:
        fail(node, "`in` needs a list of values", "for example `x in ('a', 'b')`")
    (value, *others), _ = scope.same([operand(node.this), *node.expressions])
    return Typed(reduce(operator.or_, (value == other for other in others)), "boolean")


def _chosen(scope: Scope, conditions: list[pl.Expr], results: list[exp.Expression]) -> Typed:
    values, type_ = scope.same(results)
    chosen = values[-1]
    for condition, value in zip(reversed(conditions), reversed(values[:-1]), strict=True):
        chosen = pl.when(condition).then(value).otherwise(chosen)
    return Typed(chosen, type_)


def _case(scope: Scope, node: exp.Case) -> Typed:
    ifs: list[exp.If] = node.args["ifs"]
    if node.this is None:
        conditions = [scope.of(arm.this, "boolean") for arm in ifs]
    else:
        conditions = []
        operand = scope.translate(node.this)
        for arm in ifs:
            pair = [operand, scope.translate(arm.this)]
            (subject, wanted), type_ = scope.unified([node.this, arm.this], pair)
            same = subject == wanted if type_ != "null" else pl.lit(None, dtype=pl.Boolean)
            conditions.append(same)
    otherwise = node.args.get("default") or exp.Null()
    return _chosen(scope, conditions, [*(arm.args["true"] for arm in ifs), otherwise])


def _if(scope: Scope, node: exp.If) -> Typed:
    otherwise = node.args.get("false") or exp.Null()
    return _chosen(scope, [scope.of(node.this, "boolean")], [node.args["true"], otherwise])


def _coalesce(scope: Scope, node: exp.Coalesce) -> Typed:
    values, type_ = scope.same([node.this, *node.expressions])
    return Typed(pl.coalesce(values), type_)


def _nullif(scope: Scope, node: exp.Nullif) -> Typed:
    nodes = [node.this, node.expression]
    translated = [scope.translate(each) for each in nodes]
    (value, other), type_ = scope.unified(nodes, translated)
    if type_ == "null":
        return translated[0]
    return Typed(pl.when(value.ne_missing(other)).then(translated[0].expr), translated[0].type)


_BOTH = "this expression"

CONDITIONS: Mapping[type[exp.Expression], Entry] = {
    exp.EQ: Entry(_BOTH, partial(_comparison, operator.eq)),
    exp.NEQ: Entry(_BOTH, partial(_comparison, operator.ne)),
    exp.GT: Entry(_BOTH, partial(_comparison, operator.gt)),
    exp.GTE: Entry(_BOTH, partial(_comparison, operator.ge)),
    exp.LT: Entry(_BOTH, partial(_comparison, operator.lt)),
    exp.LTE: Entry(_BOTH, partial(_comparison, operator.le)),
    exp.NullSafeEQ: Entry(_BOTH, partial(_comparison, pl.Expr.eq_missing)),
    exp.NullSafeNEQ: Entry(_BOTH, partial(_comparison, pl.Expr.ne_missing)),
    exp.And: Entry(_BOTH, partial(_logical, operator.and_)),
    exp.Or: Entry(_BOTH, partial(_logical, operator.or_)),
    exp.Not: Entry("this", _not),
    exp.Is: Entry(_BOTH, _is),
    exp.Between: Entry("this low high", _between),
    exp.In: Entry("this expressions", _in),
    exp.Case: Entry("this ifs default", _case),
    exp.If: Entry("this true false", _if),
    exp.Coalesce: Entry("this expressions", _coalesce),
    exp.Nullif: Entry(_BOTH, _nullif),
}
