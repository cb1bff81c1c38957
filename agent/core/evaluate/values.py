"""Computes the value of a KPI from partial states, or from the values of other KPIs.

Expressions are evaluated over all windows of a step at once (polars). Values are finite or None: an
empty window, a division by zero, and a number too large for a float have no value.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from agent.core.aggregate.aggregator import Aggregator
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import Number, number
from agent.core.state.series import State

WindowStates = tuple[State, State | None]
"""A window's state and, for retention, that of the window before."""

_GROUP = "_group"  # no KPI's name begins with an underscore


class ValueExpression:
    """The value expression of one KPI. Pure."""

    def __init__(self, plan: Plan, kpi: Kpi) -> None:
        self._kpi = kpi
        self._whole_inputs = {name for name in kpi.inputs if plan.kpis[name].whole}
        self._aggregator = Aggregator(kpi)
        # The partial whose final value is the KPI's value, if the expression is just that.
        plain = (i for i in range(len(kpi.partials)) if kpi.value.meta.eq(pl.col(f"a{i}")))
        self._plain = next(plain, None)

    def evaluate_states(self, states: Sequence[WindowStates]) -> list[Number]:
        """The value of each state of a KPI over events."""
        if not states:
            return []
        finals = [self._aggregator.finals(state, previous) for state, previous in states]
        if self._plain is not None:  # most KPIs; a call of polars costs as much as 15 windows
            return [number(row[self._plain]) for row in finals]
        columns = [
            pl.Series(f"a{i}", column, dtype, strict=False)
            for i, (column, dtype) in enumerate(
                zip(zip(*finals, strict=True), self._aggregator.final_dtypes, strict=True)
            )
        ]
        return self._evaluate(pl.DataFrame(columns))

    def hides(self, state: State) -> bool:
        """Whether a window has events, but of fewer people than `Kpi.minimum_people`. An aggregate
        whose FILTER no row passes reveals nobody."""
        counted, minimum = self._kpi.people_partials, self._kpi.minimum_people
        if minimum is None or not counted or not state[0]:
            return False
        people, *filtered = (n or 0 for n in self._aggregator.last_finals(state, counted))
        return people < minimum or any(0 < n < minimum for n in filtered)

    def evaluate_inputs(self, rows: Sequence[Sequence[Number]]) -> list[Number]:
        """The value of each row of input values, in the order of `Kpi.inputs`."""
        return self._evaluate(pl.DataFrame(self._columns(rows))) if rows else []

    def evaluate_groups(self, groups: Sequence[Sequence[Sequence[Number]]]) -> list[Number]:
        """The value of each group of rows of input values, for a roll-up."""
        numbers = [i for i, group in enumerate(groups) for _ in group]
        columns = self._columns([row for group in groups for row in group])
        table = pl.DataFrame([*columns, pl.Series(_GROUP, numbers, pl.Int64)])
        value = self._kpi.value.alias("value")
        rolled = table.group_by(_GROUP, maintain_order=True).agg(value)
        values = dict(zip(rolled[_GROUP].to_list(), _numbers(rolled["value"]), strict=True))
        if len(values) == len(groups):
            return [values[i] for i in range(len(groups))]
        empty_value = _numbers(table.clear().select(value)["value"])[0]
        return [values.get(i, empty_value) for i in range(len(groups))]

    def _columns(self, rows: Sequence[Sequence[Number]]) -> list[pl.Series]:
        """The inputs' values as columns."""
        columns = zip(*rows, strict=True) if rows else [()] * len(self._kpi.inputs)
        return [
            pl.Series(name, *_typed(values, name in self._whole_inputs))
            for name, values in zip(self._kpi.inputs, columns, strict=True)
        ]

    def _evaluate(self, table: pl.DataFrame) -> list[Number]:
        values = _numbers(table.select(value=self._kpi.value)["value"])
        # An expression without columns (a constant) results in one row.
        return values if len(values) == table.height else values * table.height


def _numbers(values: pl.Series) -> list[Number]:
    """Finite numbers or None; integers stay exact."""
    if values.dtype.is_float():
        return values.set(~values.is_finite(), None).to_list()
    return [number(value) for value in values.to_list()]


def _typed(values: Sequence[Number], whole: bool) -> tuple[Sequence[Number], type[pl.DataType]]:
    """Values of an input, and the dtype of their column: Int128 if all are whole numbers."""
    if whole and all(value is None or value == int(value) for value in values):
        return [None if value is None else int(value) for value in values], pl.Int128
    return [None if value is None else float(value) for value in values], pl.Float64
