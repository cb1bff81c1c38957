"""Compiles the SQL of a roll-up: aggregates over the values of other KPIs' series.

All values of a window are in memory, so these aggregates are exact, and polars' own. Nulls are
ignored, as in SQL; without values, count is 0 and every other aggregate null.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import polars as pl
from sqlglot import exp

from agent.core.model.kpis import PartialKind
from agent.language.sql.aggregates import QUANTILES, quantile_of, without_aggregates
from agent.language.sql.compiler import as_number, parsed, value_column, value_types
from agent.language.sql.expressions import Scope, fail, only, written
from agent.language.sql.scalars import SCALARS
from agent.language.sql.types import SqlType, Typed

_SIMPLE: Mapping[type[exp.Expression], Callable[[pl.Expr], pl.Expr]] = {
    exp.Sum: lambda values: pl.when(values.count() > 0).then(values.sum()),
    exp.Avg: lambda values: values.mean(),
    exp.Min: lambda values: values.min(),
    exp.Max: lambda values: values.max(),
    exp.Median: lambda values: values.median(),
    exp.Stddev: lambda values: values.std(),
    exp.StddevSamp: lambda values: values.std(),
    exp.StddevPop: lambda values: values.std(ddof=0),
    exp.Variance: lambda values: values.var(),
    exp.VariancePop: lambda values: values.var(ddof=0),
}
_EXACT = (exp.Sum, exp.Min, exp.Max)
"""Aggregates that keep whole numbers whole."""
_OTHERS = (exp.AggFunc, exp.Anonymous, exp.Filter)


def compile_roll_up(text: str, inputs: Sequence[str], whole: Collection[str] = ()) -> Typed:
    """A whole number or Float64, finite or null, over columns named after the inputs, a row for
    each series; `whole` names the columns of whole numbers.

    Raises SqlProblem.
    """
    types = value_types(inputs, whole)
    hint = "a second KPI with `from: [the first]` can use its value"
    inside = without_aggregates(text, "aggregates cannot be nested", hint)
    inner = Scope(text, SCALARS, types, _column, inside)

    def special(node: exp.Expression) -> Typed | None:
        if not isinstance(node, _OTHERS):
            return None
        condition = None
        if isinstance(node, exp.Filter):
            condition = inner.of(node.expression.this, "boolean")
            node = node.this
        return _rolled(text, node, inner, condition, pl.col(inputs[0]))

    scope = Scope(text, SCALARS, types, _bare, special)
    node = parsed(text)
    return as_number(node, scope.translate(node))


def _column(_node: exp.Column, name: str, type_: SqlType) -> Typed:
    return value_column(name, type_)


def _bare(node: exp.Column, name: str, _type: SqlType) -> Typed:
    message = f"`{name}` differs from series to series: put it into an aggregate"
    fail(node, message, f"for example `avg({name})`, `median({name})`")


def _rolled(
    text: str, call: exp.Expression, inner: Scope, condition: pl.Expr | None, first: pl.Expr
) -> Typed:
    """One aggregate, over those series for which the condition is true."""
    known = isinstance(call, (exp.Count, *QUANTILES, *_SIMPLE))
    if not known or isinstance(call.this, exp.Distinct):
        hint = "count, sum, avg, min, max, median, stddev, variance, quantile, quantile_cont"
        fail(call, f"`{written(text, call)}` cannot be computed over series", hint)
    type_: SqlType = "float"
    argument, q = call.this, None
    if type(call) in QUANTILES:
        argument, q = quantile_of(text, call)
    else:
        only(text, call, "this")
    if isinstance(argument, exp.Star):
        values = first.is_null().cast(pl.Float64)  # of every series, with a value or without
    else:
        typed = inner.number(argument)
        if typed.type == "hugeint" and isinstance(call, _EXACT):
            type_ = "hugeint"
        values = typed.cast(type_)
    if condition is not None:
        values = pl.when(condition).then(values)
    if isinstance(call, exp.Count):
        return Typed(values.count(), "integer")
    if q is not None:
        # `quantile` is SQL's quantile_disc: the least value that a share q does not exceed.
        cont = QUANTILES[type(call)] is PartialKind.QUANTILE_CONT
        ranked = values.quantile(q, interpolation="linear" if cont else "equiprobable")
        return Typed(ranked, "float")
    return Typed(_SIMPLE[type(call)](values), type_)
