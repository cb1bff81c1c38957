"""Refuses expressions that are null whatever the event: a comparison with null, a division by 0.

SQL accepts them, and a condition that is null is not true: `where: country = null` counts nothing,
without a word.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from agent.language.sql.compiler import parsed
from agent.language.sql.expressions import SqlProblem, fail

_NOTHING: Mapping[type[exp.Expression], str] = {
    exp.EQ: "write `{} is null`",
    exp.NEQ: "write `{} is not null`",
    **dict.fromkeys(
        (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between),
        "no number is below or above null: compare with a number, or write `{} is null`",
    ),
    **dict.fromkeys(
        (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod),
        "no sum or product with null has a value: leave it out, or write `coalesce(x, 0)`",
    ),
}
"""What to write instead of an operation with null, by its node; `{}` is the other operand."""
_BY_ZERO = (
    "divide by what is counted, as in `sum(x) / count(*)`: there is no value where that is 0; "
    "for a constant, multiply: `sum(x) * 0.001`"
)


def refuse_nulls(text: str) -> None:
    """Refuse operations that have no value for any event, in SQL that compiles. Raises
    SqlProblem."""
    try:
        tree = parsed(text)
    except SqlProblem:  # a rule's percentages
        return
    for node in tree.find_all(*_NOTHING, exp.In, exp.Case, exp.IntDiv):
        if isinstance(node, exp.In) and any(map(_is_null, node.expressions)):
            _fail_in(node)
        if isinstance(node, exp.Case) and node.this is not None:
            _refuse_case(node)
        operands = list(node.iter_expressions())
        if type(node) in _NOTHING and any(map(_is_null, operands)):
            other = next((part for part in operands if not _is_null(part)), operands[0])
            outcome = "is never true" if isinstance(node, exp.Predicate) else "has no value"
            fail(node, f"`{_sql(node)}` {outcome}", _NOTHING[type(node)].format(_sql(other)))
        if isinstance(node, exp.Div | exp.Mod | exp.IntDiv) and _is_zero(node.expression):
            fail(node, f"`{_sql(node)}` has no value", _BY_ZERO)


def _fail_in(node: exp.In) -> None:
    others = [_sql(item) for item in node.expressions if not _is_null(item)]
    what, is_negated = _sql(node.this), isinstance(node.parent, exp.Not)
    listed = f"{what} {'not ' * is_negated}in ({', '.join(others)})"
    beside = f"{what} is not null and {listed}" if is_negated else f"{what} is null or {listed}"
    rule = "is never true" if is_negated else "never finds null"
    fail(node, f"a list with null {rule}", f"write `{beside if others else f'{what} is null'}`")


def _refuse_case(node: exp.Case) -> None:
    if any(_is_null(branch.this) for branch in node.args["ifs"]):
        hint = f"write `case when {_sql(node.this)} is null then … end`"
        fail(node, "`when null` never applies", hint)


def _is_null(node: exp.Expr) -> bool:
    return isinstance(node.unnest(), exp.Null)


def _is_zero(node: exp.Expr) -> bool:
    inner = node.unnest()
    if isinstance(inner, exp.Neg):
        return _is_zero(inner.this)
    return isinstance(inner, exp.Literal) and not inner.is_string and float(inner.name) == 0


def _sql(node: exp.Expr) -> str:
    """A node as the author may have written it."""
    return node.sql(dialect="duckdb", normalize_functions="lower").replace("NULL", "null")
