"""The value of a KPI: from partial states, from the values of other KPIs, and rolled up."""

from __future__ import annotations

import pytest

from agent.core.evaluate.values import ValueExpression
from agent.core.model.plan import Plan
from agent.core.model.results import Number
from tests.core.simulated import EVENTS

RULES = f"""{EVENTS}kpis:
  orders: {{from: sale, value: count(*), by: [region], window: 1m}}
  revenue: {{from: sale, value: sum(amount), by: [region], window: 1m}}
  basket: {{from: sale, value: sum(amount) / count(*), by: [region], window: 1m}}
  average: {{from: [revenue, orders], value: revenue / orders}}
  total: {{from: [orders], value: sum(orders), by: []}}
  busy: {{from: [orders], value: count(*), by: []}}
"""


def expression(plan: Plan, kpi: str) -> ValueExpression:
    return ValueExpression(plan, plan.kpis[kpi])


# A state has the number of rows first, then the partials of the expression.
@pytest.mark.parametrize(
    ("kpi", "state", "expected"),
    [
        ("orders", (3,), 3),
        ("orders", (0,), 0),
        ("revenue", (2, 2, 7.5), 7.5),
        ("revenue", (0, 0, 0.0), None),  # an empty sum
        ("basket", (2, 2, 7.5), 3.75),
        ("basket", (0, 0, 0.0), None),
    ],
)
def test_a_value_is_computed_from_the_state_of_a_window(
    plan: Plan, kpi: str, state: tuple[float, ...], expected: Number
) -> None:
    assert expression(plan, kpi).evaluate_states([(state, None)] * 2) == [expected] * 2
    assert expression(plan, kpi).evaluate_states([]) == []


@pytest.mark.parametrize(
    ("revenue", "orders", "expected"),
    [(10.0, 4, 2.5), (10.0, 0, None), (None, 4, None), (10.0, None, None), (0.0, 0, None)],
)
def test_what_has_no_finite_value_is_unknown(
    plan: Plan, revenue: Number, orders: Number, expected: Number
) -> None:
    assert expression(plan, "average").evaluate_inputs([[revenue, orders]]) == [expected]


def test_whole_numbers_keep_all_their_digits(plan: Plan) -> None:
    large = 2**60 + 1
    assert expression(plan, "total").evaluate_groups([[[large], [large]]]) == [2 * large]


def test_each_group_is_rolled_up_by_itself_and_an_empty_one_has_the_value_of_no_rows(
    plan: Plan,
) -> None:
    groups: list[list[list[Number]]] = [[[1], [2]], [], [[5]]]
    assert expression(plan, "total").evaluate_groups(groups) == [3, None, 5]
    assert expression(plan, "busy").evaluate_groups(groups) == [2, 0, 1]
