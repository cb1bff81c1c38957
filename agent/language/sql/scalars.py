"""The scalar SQL that is supported: one table from sqlglot's nodes to polars expressions.

The results are DuckDB's, nulls and three-valued logic included, but for these, all decided so that
no event can stop a fold and no NaN leaves as a number:

- Division and `%` by zero, roots and logarithms outside their domain, integer overflow, casts that
  fail: null (DuckDB gives NaN or infinity, or stops).
- A product of aggregates of integers is a double.
- Decimal literals are doubles; DuckDB calculates with exact decimals among literals and integers.
- `upper` maps as Unicode says, where one letter may become two ('ß' → 'SS'). `lower` and `ilike`
  map letter by letter, as DuckDB does; letters newer than its Unicode are mapped here alone.
- Float `%` loses its digits when the quotient exceeds 2^53.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import partial, reduce

import polars as pl
from sqlglot import exp

from agent.core.model.events import FieldType
from agent.language.sql.expressions import Entry, Scope, SqlType, Typed, fail, refuse_unsupported

# What DuckDB's trim takes off: Unicode's space separators (category Zs), not tabs or line ends.
_SPACES = " \u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

_MOST_DECIMALS = 15


def _finite(number: pl.Expr) -> pl.Expr:
    """Null for NaN and the infinities, using the expression once.

    Nested, what uses its operand twice (`fill_nan` does) doubles the work at every level: polars
    finds common subexpressions between columns only.
    """
    return number.replace([math.inf, -math.inf, math.nan], None)


def _literal(_scope: Scope, node: exp.Literal) -> Typed:
    if node.is_string:
        return Typed(pl.lit(node.name, dtype=pl.String), "string")
    if node.name.isdigit() and int(node.name) < 2**63:
        return Typed(pl.lit(int(node.name), dtype=pl.Int64), "integer")
    try:
        value = float(node.name)
    except ValueError:
        fail(node, f"`{node.name}` is not a number")
    if math.isinf(value):
        fail(node, "this number is too large")
    return Typed(pl.lit(value, dtype=pl.Float64), "float")


def _boolean(_scope: Scope, node: exp.Boolean) -> Typed:
    return Typed(pl.lit(bool(node.this), dtype=pl.Boolean), "boolean")


def _null(_scope: Scope, _node: exp.Null) -> Typed:
    return Typed(pl.lit(None), "null")


def _paren(scope: Scope, node: exp.Paren) -> Typed:
    return scope.translate(node.this)


def _exact(operate: Callable[..., pl.Expr], *operands: pl.Expr) -> pl.Expr:
    """Arithmetic on Int64 that gives null on overflow: 128 bits hold every result."""
    wide = operate(*(operand.cast(pl.Int128) for operand in operands))
    return wide.cast(pl.Int64, strict=False)


def _arithmetic(operate: Callable[..., pl.Expr], scope: Scope, node: exp.Binary) -> Typed:
    a, b = scope.number(node.this), scope.number(node.expression)
    huge = "hugeint" in (a.type, b.type)
    # 128 bits hold sums of aggregates, and not their products.
    if "float" in (a.type, b.type) or (huge and operate is operator.mul):
        return Typed(operate(a.cast("float"), b.cast("float")), "float")
    if huge:
        return Typed(operate(a.cast("hugeint"), b.cast("hugeint")), "hugeint")
    return Typed(_exact(operate, a.cast("integer"), b.cast("integer")), "integer")


def _divide(scope: Scope, node: exp.Div) -> Typed:
    a, b = scope.number(node.this).cast("float"), scope.number(node.expression).cast("float")
    return Typed(a / b.replace(0.0, None), "float")


def _remainder(scope: Scope, node: exp.Mod) -> Typed:
    """The remainder with the dividend's sign; polars' has the divisor's."""
    found = _arithmetic(lambda a, b: a.sign() * (a.abs() % b.abs()), scope, node)
    # By zero it is null of integers already, NaN of floats.
    return Typed(_finite(found.expr), "float") if found.type == "float" else found


def _negative(scope: Scope, node: exp.Neg) -> Typed:
    found = scope.number(node.this)
    if found.type == "float":
        return Typed(-found.expr, "float")
    if found.type == "hugeint":
        return Typed(0 - found.expr, "hugeint")
    return Typed(_exact(lambda x: 0 - x, found.cast("integer")), "integer")


def _absolute(scope: Scope, node: exp.Abs) -> Typed:
    found = scope.number(node.this)
    if found.type in ("float", "hugeint"):
        return Typed(found.expr.abs(), found.type)
    return Typed(_exact(pl.Expr.abs, found.cast("integer")), "integer")


# A predicate beside a predicate: DuckDB and the parser disagree on which one binds first.
_PREDICATES = (exp.Predicate, exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Not)


def _plain(node: exp.Expression) -> exp.Expression:
    """An operand of a predicate, which may be a predicate itself in parentheses only."""
    if isinstance(node, _PREDICATES) and not isinstance(node, exp.Func):
        fail(
            node,
            "it is not clear what belongs together here",
            "put the inner condition in parentheses",
        )
    return node


def _comparison(compare: Callable[..., pl.Expr], scope: Scope, node: exp.Binary) -> Typed:
    (a, b), type_ = scope.same([_plain(node.this), _plain(node.expression)])
    if type_ == "null":
        a, b = a.cast(pl.Boolean), b.cast(pl.Boolean)
    return Typed(compare(a, b), "boolean")


def _logical(combine: Callable[..., pl.Expr], scope: Scope, node: exp.Connector) -> Typed:
    a, b = scope.of(node.this, "boolean"), scope.of(node.expression, "boolean")
    return Typed(combine(a, b), "boolean")


def _not(scope: Scope, node: exp.Not) -> Typed:
    return Typed(~scope.of(node.this, "boolean"), "boolean")


def _is(scope: Scope, node: exp.Is) -> Typed:
    subject = _plain(node.this)
    if isinstance(node.expression, exp.Null):
        return Typed(scope.translate(subject).expr.is_null(), "boolean")
    if isinstance(node.expression, exp.Boolean):
        found = scope.of(subject, "boolean")
        return Typed(found.eq_missing(pl.lit(bool(node.expression.this))), "boolean")
    refuse_unsupported(scope.text, node)


def _between(scope: Scope, node: exp.Between) -> Typed:
    ends = [_plain(node.this), _plain(node.args["low"]), _plain(node.args["high"])]
    (value, low, high), _ = scope.same(ends)
    return Typed((value >= low) & (value <= high), "boolean")


def _in(scope: Scope, node: exp.In) -> Typed:
    if not node.expressions:
        fail(node, "`in` needs a list of values", "for example `x in ('a', 'b')`")
    (value, *others), _ = scope.same([_plain(node.this), *node.expressions])
    return Typed(reduce(operator.or_, (value == other for other in others)), "boolean")


def _lower(text: pl.Expr) -> pl.Expr:
    """Lower case letter by letter. A sigma at the end of a word, and the dotted capital I, are the
    only letters of which `to_lowercase` makes something else."""
    return text.str.replace_many(["Σ", "İ"], ["σ", "i"]).str.to_lowercase()


def _lower_text(text: str) -> str:
    return str(pl.select(_lower(pl.lit(text, dtype=pl.String))).item())


def _like(scope: Scope, node: exp.Like | exp.ILike, escape: str | None = None) -> Typed:
    pattern = node.expression
    if not (isinstance(pattern, exp.Literal) and pattern.is_string):
        fail(pattern, "the pattern has to be written out", "for example `x like 'abc%'`")
    value, wanted = scope.of(_plain(node.this), "string"), pattern.name
    if isinstance(node, exp.ILike):
        value, wanted = _lower(value), _lower_text(wanted)
        escape = _lower_text(escape) if escape else None
    if escape and len(re.sub(f"{re.escape(escape)}.", "", wanted).split(escape)) > 1:
        fail(pattern, "the pattern ends in its escape character")
    matches = value.str.contains(_regex(wanted, escape))
    return Typed(~matches if node.args.get("negate") else matches, "boolean")


def _regex(pattern: str, escape: str | None) -> str:
    """A LIKE pattern as a regular expression of the Rust regex crate."""
    out, letters = ["(?s)^"], iter(pattern)
    for letter in letters:
        if letter == escape:
            out.append(re.escape(next(letters, "")))
        else:
            out.append({"%": ".*", "_": "."}.get(letter) or re.escape(letter))
    return "".join([*out, "$"])


def _escaped(scope: Scope, node: exp.Escape) -> Typed:
    like, escape = node.this, node.expression
    if not isinstance(like, exp.Like | exp.ILike):
        refuse_unsupported(scope.text, node)
    if not (isinstance(escape, exp.Literal) and escape.is_string and len(escape.name) == 1):
        fail(
            escape,
            "the escape character has to be one character",
            r"for example `x like '10\%' escape '\'`",
        )
    return _like(scope, like, escape.name)


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
        subject_found = scope.translate(node.this)
        for arm in ifs:
            pair = [subject_found, scope.translate(arm.this)]
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
    found = [scope.translate(each) for each in nodes]
    (value, other), type_ = scope.unified(nodes, found)
    if type_ == "null":
        return found[0]
    return Typed(pl.when(value.ne_missing(other)).then(found[0].expr), found[0].type)


def _extreme(choose: Callable[..., pl.Expr], scope: Scope, node: exp.Func) -> Typed:
    nodes = [node.this, *node.expressions]
    values, type_ = scope.unified(nodes, [scope.number(each) for each in nodes])
    return Typed(choose(values), type_)


def _round(scope: Scope, node: exp.Round) -> Typed:
    """Half away from zero, of the scaled double, as DuckDB does: round(0.285, 2) is 0.28."""
    found, decimals = scope.number(node.this), _decimals(node)
    if found.type == "hugeint":
        if decimals >= 0:
            return Typed(found.expr.round(decimals, mode="half_away_from_zero"), "hugeint")
        found = Typed(found.cast("float"), "float")
    if found.type != "float":
        whole = found.cast("integer")
        if decimals >= 0:
            return Typed(whole, "integer")
        step = 10**-decimals
        up = (whole.cast(pl.Int128).abs() + step // 2) // step * step
        signed = pl.when(whole < 0).then(0 - up).otherwise(up)
        return Typed(signed.cast(pl.Int64, strict=False), "integer")
    scale = 10.0 ** abs(decimals)
    away = partial(pl.Expr.round, decimals=0, mode="half_away_from_zero")
    if decimals >= 0:
        return Typed(away(found.expr * scale) / scale, "float")
    return Typed(away(found.expr / scale) * scale, "float")


def _decimals(node: exp.Round) -> int:
    decimals = node.args.get("decimals")
    if decimals is None:
        return 0
    sign, digits = (-1, decimals.this) if isinstance(decimals, exp.Neg) else (1, decimals)
    if not (isinstance(digits, exp.Literal) and digits.name.isdigit()):
        fail(
            decimals, "the number of decimals has to be a whole number", "for example `round(x, 2)`"
        )
    if int(digits.name) > _MOST_DECIMALS:
        fail(decimals, f"a double has {_MOST_DECIMALS} decimals")
    return sign * int(digits.name)


def _of_float(
    apply: Callable[[pl.Expr], pl.Expr], scope: Scope, node: exp.Func | exp.Floor | exp.Ceil
) -> Typed:
    return Typed(apply(scope.number(node.this).cast("float")), "float")


def _power(scope: Scope, node: exp.Pow) -> Typed:
    if "start" not in node.meta:  # `^` and `**`, whose precedence differs between SQL dialects
        refuse_unsupported(scope.text, node)
    base, exponent = scope.number(node.this), scope.number(node.expression)
    power = base.cast("float").pow(exponent.cast("float"))
    return Typed(_finite(power), "float")


def _of_string(
    apply: Callable[[pl.Expr], pl.Expr], type_: FieldType, scope: Scope, node: exp.Func
) -> Typed:
    return Typed(apply(scope.of(node.this, "string")), type_)


def _two_strings(apply: Callable[..., pl.Expr], scope: Scope, node: exp.Func) -> Typed:
    a, b = scope.of(node.this, "string"), scope.of(node.args["expression"], "string")
    return Typed(apply(a, b), "boolean")


def _joined(scope: Scope, node: exp.DPipe) -> Typed:
    both = [scope.of(node.this, "string"), scope.of(node.expression, "string")]
    return Typed(pl.concat_str(both), "string")


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
        return _finite(read)
    if found.type in ("float", "hugeint") and to == "integer":
        return found.expr.round(0, mode="half_to_even").cast(pl.Int64, strict=False)
    return found.cast(to)


_BOTH = "this expression"

SCALARS: Mapping[type[exp.Expression], Entry] = {
    exp.Literal: Entry("this", _literal),
    exp.Boolean: Entry("this", _boolean),
    exp.Null: Entry("", _null),
    exp.Paren: Entry("this", _paren),
    exp.Add: Entry(_BOTH, partial(_arithmetic, operator.add)),
    exp.Sub: Entry(_BOTH, partial(_arithmetic, operator.sub)),
    exp.Mul: Entry(_BOTH, partial(_arithmetic, operator.mul)),
    exp.Div: Entry(_BOTH, _divide),
    exp.Mod: Entry(_BOTH, _remainder),
    exp.Neg: Entry("this", _negative),
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
    exp.Like: Entry("this expression negate", _like),
    exp.ILike: Entry("this expression negate", _like),
    exp.Escape: Entry(_BOTH, _escaped),
    exp.Case: Entry("this ifs default", _case),
    exp.If: Entry("this true false", _if),
    exp.Coalesce: Entry("this expressions", _coalesce),
    exp.Nullif: Entry(_BOTH, _nullif),
    exp.Greatest: Entry("this expressions", partial(_extreme, pl.max_horizontal)),
    exp.Least: Entry("this expressions", partial(_extreme, pl.min_horizontal)),
    exp.Abs: Entry("this", _absolute),
    exp.Round: Entry("this decimals", _round),
    exp.Floor: Entry("this", partial(_of_float, pl.Expr.floor)),
    exp.Ceil: Entry("this", partial(_of_float, pl.Expr.ceil)),
    exp.Sqrt: Entry("this", partial(_of_float, lambda x: _finite(x.sqrt()))),
    exp.Ln: Entry("this", partial(_of_float, lambda x: _finite(x.log()))),
    exp.Pow: Entry(_BOTH, _power),
    exp.Length: Entry(
        "this", partial(_of_string, lambda x: x.str.len_chars().cast(pl.Int64), "integer")
    ),
    exp.Lower: Entry("this", partial(_of_string, _lower, "string")),
    exp.Upper: Entry("this", partial(_of_string, lambda x: x.str.to_uppercase(), "string")),
    exp.Trim: Entry("this", partial(_of_string, lambda x: x.str.strip_chars(_SPACES), "string")),
    exp.StartsWith: Entry(_BOTH, partial(_two_strings, lambda a, b: a.str.starts_with(b))),
    exp.Contains: Entry(_BOTH, partial(_two_strings, lambda a, b: a.str.contains(b, literal=True))),
    exp.DPipe: Entry(_BOTH, _joined),
    exp.Cast: Entry("this to", _cast),
    exp.TryCast: Entry("this to", _cast),
}
