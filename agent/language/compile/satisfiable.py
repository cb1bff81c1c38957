"""Whether a condition can ever be true, where that can be decided from the condition alone.

Decided for comparisons of columns with numbers and with each other, combined by and, or and not.
Such a condition changes its value only where a column passes one of the numbers, so it is evaluated
on a grid of points on, between and beyond them. Conditions with arithmetic are left undecided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl
from sqlglot import exp

from agent.core.history.burn_rate import BudgetLeft, BurnRate
from agent.core.history.forecast import Breach
from agent.core.history.trend import Run
from agent.core.model.history import Feature
from agent.language.sql.compiler import parsed
from agent.language.sql.expressions import SqlProblem
from agent.language.sql.history_call import called
from agent.language.sql.history_functions import CALLS
from agent.language.sql.percents import Number, marked

MOST_POINTS = 100_000
"""The largest grid that is evaluated; a condition with a larger one is left undecided."""

_JOINS = (exp.And, exp.Or, exp.Not, exp.Paren)
_COMPARISONS = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.EQ, exp.NEQ, exp.Between)


@dataclass(frozen=True, slots=True)
class Range:
    """The values that a column can have, both ends included."""

    least: float = -float("inf")
    most: float = float("inf")
    whole: bool = False

    def points(self, numbers: Iterable[float]) -> list[float]:
        """Values on, between and beyond the numbers; three between two numbers, so that three
        columns can differ there."""
        marks = sorted({n for n in (*numbers, self.least, self.most) if abs(n) < float("inf")})
        marks = marks or [0.0]
        points = {*marks, *(marks[0] - step for step in (1, 2, 3))}
        points |= {marks[-1] + step for step in (1, 2, 3)}
        for low, high in pairwise(marks):
            points |= {low + (high - low) * share for share in (0.25, 0.5, 0.75)}
        if self.whole:
            points = {float(round(n)) for n in points} | {n + s for n in marks for s in (-1, 1)}
            points = {n for n in points if n == round(n)}
        return sorted(n for n in points if self.least <= n <= self.most)


def range_of(feature: Feature) -> Range:
    """The values that a feature can have."""
    if isinstance(feature, BurnRate):
        return Range(0, _when_all_is_bad(feature))
    if isinstance(feature, BudgetLeft):
        return Range(1 - _when_all_is_bad(feature), 1)
    if isinstance(feature, Run | Breach):
        return Range(0, 1, whole=True)
    return Range()


def range_of_value(text: str) -> Range:
    """The values that a KPI can have, by its SQL: a count is whole, and never below 0; a share of
    the events is from 0 to 1."""
    try:
        node = parsed(text)
    except SqlProblem:
        return Range()
    if isinstance(node, exp.Count | exp.CountIf | exp.ApproxDistinct):
        return Range(0, whole=True)
    return SHARE if _is_share(node) else Range()


SHARE = Range(0, 1)


def _is_share(node: exp.Expression) -> bool:
    """Whether a value is a part of all events: `count_if(x) / count(*)`, or the rest of one."""
    bare = node.unnest()
    if isinstance(bare, exp.Sub):
        return bool(bare.this == exp.Literal.number(1)) and _is_share(bare.expression)
    if not isinstance(bare, exp.Div):
        return False
    part, whole = bare.this, bare.expression
    part = part.this if isinstance(part, exp.Filter) else part
    is_all = isinstance(whole, exp.Count) and isinstance(whole.this, exp.Star)
    return is_all and isinstance(part, exp.Count | exp.CountIf)


def _when_all_is_bad(feature: BurnRate | BudgetLeft) -> float:
    """The burn rate when every event is bad, rounded: 1 - 0.8 is not exactly 0.2."""
    return round(1 / feature.budget, 9)


def can_hold(condition: pl.Expr, texts: Sequence[str], ranges: Mapping[str, Range]) -> bool | None:
    """Whether a condition is true for any values; None: undecided.

    `texts` are what it was compiled from, `ranges` the values that its columns can have.
    """
    numbers: set[float] = set()
    for text in texts:
        plain, percentages = marked(text)
        own = _numbers(parsed(plain, text), percentages)
        if own is None:
            return None
        numbers |= own
    columns = {
        name: ranges.get(name, Range()).points(numbers) for name in condition.meta.root_names()
    }
    size = 1
    for points in columns.values():
        size *= len(points)
    if not columns or not 0 < size <= MOST_POINTS:
        return None
    grid = pl.DataFrame({"_": [0]})
    for name, points in columns.items():
        grid = grid.join(pl.DataFrame({name: points}, schema={name: pl.Float64}), how="cross")
    return bool(grid.select(condition.fill_null(False).any()).item())


def _numbers(node: exp.Expression, percentages: Mapping[str, Number]) -> set[float] | None:
    """The numbers that columns are compared with; None for a condition of another form."""
    if isinstance(node, _JOINS):
        numbers: set[float] = set()
        for part in node.iter_expressions():
            own = _numbers(part, percentages)
            if own is None:
                return None
            numbers |= own
        return numbers
    if isinstance(node, _COMPARISONS):
        values = [_operand(part, percentages) for part in node.iter_expressions()]
        return None if None in values else {n for own in values if own for n in own}
    return set() if called(node)[0] in CALLS else None


def _operand(node: exp.Expression, percentages: Mapping[str, Number]) -> set[float] | None:
    """The number of an operand, none for a column; None for anything else."""
    if isinstance(node, exp.Paren):
        return _operand(node.this, percentages)
    if isinstance(node, exp.Neg):
        inner = _operand(node.this, percentages)
        return {-n for n in inner} if inner else None
    if isinstance(node, exp.Literal) and not node.is_string:
        return {float(node.name)}
    if isinstance(node, exp.Column) and node.name in percentages:
        number = percentages[node.name]
        return {number.value if number.per_days is None else number.a_day}
    return set() if isinstance(node, exp.Column) or called(node)[0] in CALLS else None


def asks_for_no_value(text: str) -> bool:
    """Whether a condition has `value is null` in it."""
    plain, _ = marked(text)
    return any(
        isinstance(node.expression, exp.Null)
        and isinstance(node.this, exp.Column)
        and node.this.name.lower() == "value"
        and not isinstance(node.parent, exp.Not)
        for node in parsed(plain, text).find_all(exp.Is)
    )
