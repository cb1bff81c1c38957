"""The aggregates of a KPI's `value`, each split into partial aggregates.

`AGGREGATES` lists those that are one partial of one argument; `Split` has a method for each of the
others, and collects the partials. The expression around the aggregates reads their final values as
columns `a0…an`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl
from sqlglot import exp

from agent.core.model.field_types import FIELD_DTYPES
from agent.core.model.kpis import Partial, PartialKind
from agent.language.sql.expressions import Scope, fail, finite, only, span, written
from agent.language.sql.scalars import SCALARS
from agent.language.sql.types import SqlType, Typed, decimal_type, is_decimal, scale_of, words


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate of one argument. `type` is the type of its final value, `whole` that over
    integers; `numbers`: it is for numbers only; `q`: the quantile that it computes."""

    kind: PartialKind
    type: SqlType = "float"
    whole: SqlType = "float"
    numbers: bool = True
    q: float | None = None


AGGREGATES: Mapping[type[exp.Expression], Aggregate] = {
    exp.Sum: Aggregate(PartialKind.SUM, whole="hugeint"),
    exp.Avg: Aggregate(PartialKind.MEAN),
    exp.Min: Aggregate(PartialKind.MIN, whole="hugeint"),
    exp.Max: Aggregate(PartialKind.MAX, whole="hugeint"),
    exp.Stddev: Aggregate(PartialKind.STDDEV),
    exp.StddevSamp: Aggregate(PartialKind.STDDEV),
    exp.StddevPop: Aggregate(PartialKind.STDDEV_POP),
    exp.Variance: Aggregate(PartialKind.VARIANCE),
    exp.VariancePop: Aggregate(PartialKind.VAR_POP),
    exp.First: Aggregate(PartialKind.FIRST, whole="hugeint"),
    exp.AnyValue: Aggregate(PartialKind.FIRST, whole="hugeint"),
    exp.Last: Aggregate(PartialKind.LAST, whole="hugeint"),
    exp.Median: Aggregate(PartialKind.QUANTILE_CONT, q=0.5),
    exp.Mode: Aggregate(PartialKind.MODE, whole="hugeint"),
    exp.ApproxDistinct: Aggregate(PartialKind.DISTINCT, numbers=False),
}
QUANTILES: Mapping[type[exp.Expression], PartialKind] = {
    exp.Quantile: PartialKind.QUANTILE,
    exp.PercentileDisc: PartialKind.QUANTILE,
    exp.PercentileCont: PartialKind.QUANTILE_CONT,
}
_COUNT = Aggregate(PartialKind.COUNT, "integer", "integer", numbers=False)
_RETENTION = Aggregate(PartialKind.RETENTION, numbers=False)
_DISTINCT: Mapping[type[exp.Expression], Aggregate] = {
    exp.Count: Aggregate(PartialKind.DISTINCT, numbers=False),
    exp.Sum: Aggregate(PartialKind.SUM_DISTINCT, whole="hugeint"),
    exp.Avg: Aggregate(PartialKind.MEAN_DISTINCT),
}
_RANKED: Mapping[type[exp.Expression], PartialKind] = {
    exp.ArgMin: PartialKind.ARG_MIN,
    exp.ArgMax: PartialKind.ARG_MAX,
}
_BOOLEANS: Mapping[type[exp.Expression], PartialKind] = {
    exp.LogicalAnd: PartialKind.MIN,
    exp.LogicalOr: PartialKind.MAX,
}


def is_aggregate(node: exp.Expression) -> bool:
    """Whether a node is an aggregate over rows, with or without a FILTER."""
    node = _unwrapped(node)
    return (
        isinstance(node, exp.Filter) or type(node) in AGGREGATES or _split_method(node) is not None
    )


def without_aggregates(text: str, why: str, hint: str) -> Callable[[exp.Expression], Typed | None]:
    """The `special` of a Scope that refuses aggregates."""

    def special(node: exp.Expression) -> Typed | None:
        if is_aggregate(node):
            fail(node, f"`{written(text, node)}` is an aggregate; {why}", hint)
        return None

    return special


def rows_scope(
    text: str, fields: Mapping[str, SqlType], timezone: str, why: str, hint: str
) -> Scope:
    """The scope of expressions over the fields of one event, which refuses aggregates."""
    return Scope(text, SCALARS, fields, _column, without_aggregates(text, why, hint), timezone)


def _column(_node: exp.Column, name: str, type_: SqlType) -> Typed:
    return Typed(pl.col(name), type_)


def _unwrapped(node: exp.Expression) -> exp.Expression:
    """A node without the IGNORE NULLS that the parser wraps around `any_value`."""
    if isinstance(node, exp.IgnoreNulls) and isinstance(node.this, exp.AnyValue):
        return node.this
    return node


@dataclass(frozen=True, slots=True)
class _Argument:
    """The argument of an aggregate: decimals, timestamps and dates as whole numbers."""

    value: pl.Expr
    of: SqlType
    whole: bool

    @property
    def is_whole(self) -> bool:
        """Whether the argument is a whole number."""
        return self.of == "integer" or (self.whole and self.of not in ("float", "integer"))

    @property
    def expr(self) -> pl.Expr:
        """The column that is aggregated."""
        if self.of in ("timestamp", "date"):
            return self.value.to_physical().cast(pl.Int64)
        return self.value.cast(pl.Int64, strict=False) if is_decimal(self.of) else self.value

    def as_float(self) -> _Argument:
        """As floats, for aggregates that are not exact."""
        return _Argument(Typed(self.value, self.of).cast("float"), "float", self.whole)

    def final(self, combined: Typed) -> Typed:
        """The final value in the argument's own type: a decimal, a timestamp or a date."""
        if is_decimal(self.of):
            scale = scale_of(self.of)
            if combined.type == "float":
                return Typed(combined.expr / 10.0**scale, "float")
            return Typed(combined.expr, decimal_type(scale, huge=True))
        if self.of in ("timestamp", "date"):
            dtype = pl.Int64 if self.of == "timestamp" else pl.Int32
            return Typed(combined.expr.cast(dtype).cast(FIELD_DTYPES[self.of]), self.of)  # type: ignore[index]
        return combined


@dataclass(slots=True)
class Split:
    """The aggregates seen so far in one `value`."""

    text: str
    fields: Mapping[str, SqlType]
    timezone: str = "UTC"
    partials: list[Partial] = field(default_factory=lambda: [Partial(PartialKind.COUNT)])
    seen: bool = False

    @property
    def outer(self) -> Scope:
        """The scope around the aggregates, where a column by itself is refused."""
        return Scope(self.text, SCALARS, self.fields, self._bare, self._aggregate, self.timezone)

    @property
    def inner(self) -> Scope:
        """The scope of an aggregate's argument."""
        why = "aggregates can't be put into one another"
        hint = "a second KPI with `from: [the first]` can use its value"
        return rows_scope(self.text, self.fields, self.timezone, why, hint)

    def _bare(self, node: exp.Column, name: str, type_: SqlType) -> Typed:
        number = type_ in ("integer", "float") or is_decimal(type_)
        hint = (
            f"for example `avg({name})`"
            if number
            else f"for example `count({name})`; or group by it: `by: [{name}]`"
        )
        fail(node, f"`{name}` differs from event to event: put it into an aggregate", hint)

    def _aggregate(self, node: exp.Expression) -> Typed | None:
        if not is_aggregate(node):
            return None
        self.seen = True
        condition = None
        if isinstance(node, exp.Filter):
            where = node.expression.this
            condition = self.inner.of(where, "boolean")
            node = node.this
        if not is_aggregate(node):
            fail(node, f"`{written(self.text, node)}` is not an aggregate, FILTER needs one")
        return self._split(_unwrapped(node), condition)

    def _split(self, node: exp.Expression, condition: pl.Expr | None) -> Typed:
        return (_split_method(node) or Split._plain)(self, node, condition)

    def _plain(self, node: exp.Expression, condition: pl.Expr | None) -> Typed:
        only(self.text, node, "this")
        if isinstance(node.this, exp.Distinct) and type(node) in _DISTINCT:
            if len(node.this.expressions) != 1:
                what = f"{type(node).__name__.lower()} distinct takes one argument"
                fail(node, what, "for pairs: `count(distinct a || ' ' || b)`")
            return self._of(_DISTINCT[type(node)], node.this.expressions[0], condition)
        return self._of(AGGREGATES.get(type(node), _COUNT), node.this, condition)

    def _count(self, node: exp.Expression, condition: pl.Expr | None) -> Typed:
        if node.this is not None and not isinstance(node.this, exp.Star):
            return self._plain(node, condition)
        only(self.text, node, "this")
        return self._shared(Partial(PartialKind.COUNT, None, condition), "integer")

    def _count_if(self, node: exp.Expression, condition: pl.Expr | None) -> Typed:
        only(self.text, node, "this")
        holds = self.inner.of(node.this, "boolean")
        both = holds if condition is None else holds & condition
        return self._shared(Partial(PartialKind.COUNT, None, both), "integer")

    def _boolean(self, node: exp.Expression, condition: pl.Expr | None) -> Typed:
        """`bool_and` and `bool_or`: the least or the greatest of 0 and 1."""
        only(self.text, node, "this")
        whole = self.inner.of(node.this, "boolean").cast(pl.Int64)
        partial = Partial(_BOOLEANS[type(node)], whole, condition, whole=True)
        return Typed(self._shared(partial, "hugeint").expr == 1, "boolean")

    def _quantile(self, node: exp.Expression, condition: pl.Expr | None) -> Typed:
        argument, q = quantile_of(self.text, node)
        return self._of(Aggregate(QUANTILES[type(node)], q=q), argument, condition)

    def _retention(self, node: exp.Expression, condition: pl.Expr | None) -> Typed:
        if len(node.expressions) != 1:
            fail(node, "retention takes one argument", "for example `retention(customer_id)`")
        return self._of(_RETENTION, node.expressions[0], condition)

    def _ranked(self, node: exp.Expression, condition: pl.Expr | None) -> Typed:
        """`arg_min(x, y)`: the value of x in the row with the least y."""
        only(self.text, node, "this expression")
        kind = _RANKED[type(node)]
        if node.args.get("expression") is None:
            fail(node, f"{kind} takes two arguments", f"for example `{kind}(price, quantity)`")
        value = self._argument(node.this, kind)
        order = self._argument(node.args["expression"], kind)
        partial = Partial(
            kind, value.expr, condition, None, value.is_whole, order.expr, order.is_whole
        )
        return value.final(self._shared(partial, "hugeint" if value.is_whole else "float"))

    def _weighted(self, node: exp.Expression, condition: pl.Expr | None) -> Typed:
        """`weighted_avg(x, w)`: the sum of `x * w` over that of the weights where x is not null."""
        if len(node.expressions) != 2:
            hint = "for example `weighted_avg(price, units)`"
            fail(node, "weighted_avg takes two arguments", hint)
        x, w = (self.inner.number(each).cast("float") for each in node.expressions)
        weights = pl.when(x.is_not_null()).then(w)
        sums = (Partial(PartialKind.SUM, each, condition) for each in (finite(x * w), weights))
        total, weight = (self._shared(each, "float").expr for each in sums)
        return Typed(total / weight.replace(0.0, None), "float")

    def _of(
        self, aggregate: Aggregate, argument: exp.Expression, condition: pl.Expr | None
    ) -> Typed:
        value = self._argument(argument, aggregate.kind, aggregate.numbers)
        if not aggregate.numbers or aggregate.whole == "hugeint" or aggregate.kind in _MEANS:
            pass
        elif value.of in ("timestamp", "date"):
            fail(argument, f"{aggregate.kind} needs a number, this is {words(value.of)}", _EPOCHS)
        else:
            value = value.as_float()
        partial = Partial(aggregate.kind, value.expr, condition, aggregate.q, value.is_whole)
        final = self._shared(partial, aggregate.whole if value.is_whole else aggregate.type)
        return value.final(final) if aggregate.numbers else final

    def _argument(
        self, argument: exp.Expression, kind: PartialKind, numbers: bool = True
    ) -> _Argument:
        """The argument of an aggregate of a kind, checked for its type."""
        typed = self.inner.translate(argument)
        takes = typed.is_number or typed.type in ("timestamp", "date")
        if not numbers and kind is not PartialKind.COUNT and typed.type.endswith("[]"):
            fail(argument, f"{kind} of {words(typed.type)} is not supported", "`count(x)` is")
        if numbers and (typed.type == "null" or not takes):
            hint = (
                "count_if counts where it is true"
                if typed.type == "boolean"
                else "`count` and `count(distinct …)` take any type"
            )
            fail(argument, f"{kind} needs a number, this is {words(typed.type)}", hint)
        expr = typed.expr
        if typed.type == "float" and not isinstance(argument, exp.Column):
            expr = finite(expr)
        return _Argument(expr, typed.type, whole=numbers)

    def _shared(self, partial: Partial, type_: SqlType) -> Typed:
        """The column of a partial's final value; equal partials share one."""
        same = (i for i, known in enumerate(self.partials) if _equal(known, partial))
        number = next(same, len(self.partials))
        if number == len(self.partials):
            self.partials.append(partial)
        return Typed(pl.col(f"a{number}"), type_)


_MEANS = (PartialKind.MEAN, PartialKind.MEAN_DISTINCT)
_EPOCHS = "take it of `epoch(x)`, seconds since 1970, or of a difference of two times"

_SplitMethod = Callable[[Split, exp.Expression, pl.Expr | None], Typed]

_SPLIT_METHODS: Mapping[type[exp.Expression], _SplitMethod] = {
    exp.Count: Split._count,
    exp.CountIf: Split._count_if,
    exp.Quantile: Split._quantile,
    exp.PercentileDisc: Split._quantile,
    exp.PercentileCont: Split._quantile,
    exp.ArgMin: Split._ranked,
    exp.ArgMax: Split._ranked,
    exp.LogicalAnd: Split._boolean,
    exp.LogicalOr: Split._boolean,
}
_NAMED: Mapping[str, _SplitMethod] = {
    "retention": Split._retention,
    "weighted_avg": Split._weighted,
}


def _split_method(node: exp.Expression) -> _SplitMethod | None:
    """The method for an aggregate that is not one partial of one argument; None for others."""
    if isinstance(node, exp.Anonymous):
        return _NAMED.get(node.name.lower())
    return _SPLIT_METHODS.get(type(node))


def _equal(a: Partial, b: Partial) -> bool:
    def same(x: pl.Expr | None, y: pl.Expr | None) -> bool:
        return x is y or (x is not None and y is not None and x.meta.eq(y))

    return (
        (a.kind, a.q) == (b.kind, b.q)
        and same(a.argument, b.argument)
        and same(a.filter, b.filter)
        and same(a.order, b.order)
    )


def quantile_of(text: str, node: exp.Expression) -> tuple[exp.Expression, float]:
    """The argument of a quantile, and which quantile it is, from 0 to 1."""
    part = "quantile" if isinstance(node, exp.Quantile) else "expression"
    only(text, node, f"this {part}")
    q = node.args.get(part)
    if isinstance(q, exp.Literal) and not q.is_string and 0 <= float(q.name) <= 1:
        # The parser drops what follows.
        if text[span(q)[1] :].lstrip().startswith(","):
            fail(q, "quantile takes two arguments", "one KPI for each quantile")
        return node.this, float(q.name)
    fail(
        q or node, "the quantile has to be a number from 0 to 1", "for example `quantile(x, 0.95)`"
    )
