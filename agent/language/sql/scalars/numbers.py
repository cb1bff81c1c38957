"""Arithmetic and the functions of numbers.

Integers are calculated in 128 bits and are null where the result leaves 64; floats are null where
the result is not finite.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import partial

import polars as pl
from sqlglot import exp

from agent.core.model.field_types import DECIMAL_DIGITS
from agent.language.sql.expressions import Entry, Scope, fail, refuse_unsupported
from agent.language.sql.scalars.literals import integer_written
from agent.language.sql.types import Typed, decimal_type, is_decimal, is_huge

_MOST_DECIMALS = 15


def finite_once(number: pl.Expr) -> pl.Expr:
    """Null for NaN and the infinities, using the expression once.

    Nested, what uses its operand twice (`fill_nan` does) doubles the work at every level: polars
    finds common subexpressions between columns only.
    """
    return number.replace([math.inf, -math.inf, math.nan], None)


def exact(operate: Callable[..., pl.Expr], *operands: pl.Expr) -> pl.Expr:
    """Arithmetic on Int64 that gives null on overflow: 128 bits hold every result."""
    wide = operate(*(operand.cast(pl.Int128) for operand in operands))
    return wide.cast(pl.Int64, strict=False)


def arithmetic(operate: Callable[..., pl.Expr], scope: Scope, node: exp.Binary) -> Typed:
    """A sum, difference, product or remainder."""
    return arithmetic_of(operate, scope.number(node.this), scope.number(node.expression))


def arithmetic_of(operate: Callable[..., pl.Expr], a: Typed, b: Typed) -> Typed:
    """The same of two numbers."""
    if (is_decimal(a.type) or is_decimal(b.type)) and a.is_exact and b.is_exact:
        return _decimal_arithmetic(operate, a, b)
    huge = is_huge(a.type) or is_huge(b.type)
    is_float = "float" in (a.type, b.type) or is_decimal(a.type) or is_decimal(b.type)
    # 128 bits hold sums of aggregates, and not their products.
    if is_float or (huge and operate is operator.mul):
        return Typed(operate(a.cast("float"), b.cast("float")), "float")
    if huge:
        return Typed(operate(a.cast("hugeint"), b.cast("hugeint")), "hugeint")
    return Typed(exact(operate, a.cast("integer"), b.cast("integer")), "integer")


def _decimal_arithmetic(operate: Callable[..., pl.Expr], a: Typed, b: Typed) -> Typed:
    """Of exact numbers, one of them a decimal. A product has the decimals of both."""
    huge = is_huge(a.type) or is_huge(b.type)
    if operate is operator.mul:
        scale = a.scale + b.scale
        if huge or scale >= DECIMAL_DIGITS:
            return Typed(a.cast("float") * b.cast("float"), "float")
        unscaled = a.scaled(a.scale) * b.scaled(b.scale)
    else:
        scale = max(a.scale, b.scale)
        unscaled = operate(a.scaled(scale), b.scaled(scale))
    if huge:
        return Typed(unscaled, decimal_type(scale, huge=True))
    return Typed(unscaled.cast(pl.Int64, strict=False), decimal_type(scale))


def _divide(scope: Scope, node: exp.Div) -> Typed:
    a, b = scope.number(node.this).cast("float"), scope.number(node.expression).cast("float")
    return Typed(a / b.replace(0.0, None), "float")


def _remainder(scope: Scope, node: exp.Mod) -> Typed:
    """The remainder with the dividend's sign; polars' has the divisor's."""
    typed = arithmetic(lambda a, b: a.sign() * (a.abs() % b.abs()), scope, node)
    # By zero it is null of integers already, NaN of floats.
    return Typed(finite_once(typed.expr), "float") if typed.type == "float" else typed


def _negative(scope: Scope, node: exp.Neg) -> Typed:
    typed = scope.number(node.this)
    if typed.type == "float":
        return Typed(-typed.expr, "float")
    if is_huge(typed.type):
        return Typed(0 - typed.expr, typed.type)
    if is_decimal(typed.type):
        return Typed(exact(lambda x: 0 - x, typed.expr), typed.type)
    return Typed(exact(lambda x: 0 - x, typed.cast("integer")), "integer")


def _absolute(scope: Scope, node: exp.Abs) -> Typed:
    typed = scope.number(node.this)
    if typed.type == "float" or is_huge(typed.type) or is_decimal(typed.type):
        return Typed(typed.expr.abs(), typed.type)
    return Typed(exact(pl.Expr.abs, typed.cast("integer")), "integer")


def _extreme(choose: Callable[..., pl.Expr], scope: Scope, node: exp.Func) -> Typed:
    nodes = [node.this, *node.expressions]
    values, type_ = scope.unified(nodes, [scope.number(each) for each in nodes])
    return Typed(choose(values), type_)


def _round(scope: Scope, node: exp.Round) -> Typed:
    """Half away from zero, of the scaled double, as DuckDB does: round(0.285, 2) is 0.28."""
    typed, decimals = scope.number(node.this), _decimals(node)
    if is_decimal(typed.type):
        return _rounded(typed, decimals)
    if typed.type == "hugeint":
        if decimals >= 0:
            return Typed(typed.expr.round(decimals, mode="half_away_from_zero"), "hugeint")
        typed = Typed(typed.cast("float"), "float")
    if typed.type != "float":
        whole = typed.cast("integer")
        if decimals >= 0:
            return Typed(whole, "integer")
        step = 10**-decimals
        up = (whole.cast(pl.Int128).abs() + step // 2) // step * step
        signed = pl.when(whole < 0).then(0 - up).otherwise(up)
        return Typed(signed.cast(pl.Int64, strict=False), "integer")
    scale = 10.0 ** abs(decimals)
    away = partial(pl.Expr.round, decimals=0, mode="half_away_from_zero")
    if decimals >= 0:
        return Typed(away(typed.expr * scale) / scale, "float")
    return Typed(away(typed.expr / scale) * scale, "float")


def _rounded(typed: Typed, decimals: int) -> Typed:
    """A decimal, half away from zero."""
    if decimals >= typed.scale:
        return typed
    scale = max(decimals, 0)
    rounded = half_away(typed.expr.cast(pl.Int128), 10 ** (typed.scale - decimals))
    if decimals < 0:
        rounded = rounded * 10**-decimals
    narrow = rounded if is_huge(typed.type) else rounded.cast(pl.Int64, strict=False)
    return Typed(narrow, decimal_type(scale, huge=is_huge(typed.type)))


def half_away(wide: pl.Expr, step: int) -> pl.Expr:
    """An Int128 divided by a step, rounded half away from zero."""
    up = (wide.abs() + step // 2) // step
    return pl.when(wide < 0).then(0 - up).otherwise(up)


def _decimals(node: exp.Round) -> int:
    if node.args.get("decimals") is None:
        return 0
    decimals = integer_written(
        node.args["decimals"], "the number of decimals", "for example `round(x, 2)`"
    )
    if abs(decimals) > _MOST_DECIMALS:
        fail(node.args["decimals"], f"a double has {_MOST_DECIMALS} decimals")
    return decimals


def _of_float(
    apply: Callable[[pl.Expr], pl.Expr], scope: Scope, node: exp.Func | exp.Floor | exp.Ceil
) -> Typed:
    return Typed(apply(scope.number(node.this).cast("float")), "float")


def _power(scope: Scope, node: exp.Pow) -> Typed:
    if "start" not in node.meta:  # `^` and `**`, whose precedence differs between SQL dialects
        refuse_unsupported(scope.text, node)
    base, exponent = scope.number(node.this), scope.number(node.expression)
    power = base.cast("float").pow(exponent.cast("float"))
    return Typed(finite_once(power), "float")


def _sign(scope: Scope, node: exp.Sign) -> Typed:
    return Typed(scope.number(node.this).expr.sign().cast(pl.Int64), "integer")


def _truncated(scope: Scope, node: exp.Trunc) -> Typed:
    number = scope.number(node.this)
    if number.type in ("integer", "hugeint"):
        return number
    return Typed(number.cast("float").truncate(), "float")


def _logarithm(scope: Scope, node: exp.Log) -> Typed:
    """`log(x)` is to base 10; `log(b, x)`, `log2` and `log10` name the base first."""
    if node.expression is None:
        return Typed(finite_once(scope.number(node.this).cast("float").log10()), "float")
    base = node.this
    if isinstance(base, exp.Literal) and base.name in _LOGARITHMS:
        apply = _LOGARITHMS[base.name]
        return Typed(finite_once(apply(scope.number(node.expression).cast("float"))), "float")
    logs = [scope.number(each).cast("float").log() for each in (base, node.expression)]
    return Typed(finite_once(logs[1] / logs[0]), "float")


_LOGARITHMS: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "2": lambda x: x.log(2),
    "10": pl.Expr.log10,
}

_BOTH = "this expression"

NUMBERS: Mapping[type[exp.Expression], Entry] = {
    exp.Add: Entry(_BOTH, partial(arithmetic, operator.add)),
    exp.Sub: Entry(_BOTH, partial(arithmetic, operator.sub)),
    exp.Mul: Entry(_BOTH, partial(arithmetic, operator.mul)),
    exp.Div: Entry(_BOTH, _divide),
    exp.Mod: Entry(_BOTH, _remainder),
    exp.Neg: Entry("this", _negative),
    exp.Abs: Entry("this", _absolute),
    exp.Sign: Entry("this", _sign),
    exp.Greatest: Entry("this expressions", partial(_extreme, pl.max_horizontal)),
    exp.Least: Entry("this expressions", partial(_extreme, pl.min_horizontal)),
    exp.Round: Entry("this decimals", _round),
    exp.Floor: Entry("this", partial(_of_float, pl.Expr.floor)),
    exp.Ceil: Entry("this", partial(_of_float, pl.Expr.ceil)),
    exp.Trunc: Entry("this", _truncated),
    exp.Sqrt: Entry("this", partial(_of_float, lambda x: finite_once(x.sqrt()))),
    exp.Exp: Entry("this", partial(_of_float, lambda x: finite_once(x.exp()))),
    exp.Ln: Entry("this", partial(_of_float, lambda x: finite_once(x.log()))),
    exp.Log: Entry(_BOTH, _logarithm),
    exp.Pow: Entry(_BOTH, _power),
}
