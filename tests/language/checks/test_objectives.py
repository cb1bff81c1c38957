"""Objectives: parts that there are, weights above 0, no cycles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages

SERVING = """
kpis:
  sales: {target: {at_least: 1}}
  orders: {target: {at_least: 1}}
  by_clerk: {target: {at_least: 1}}
  success: {target: {at_least: 0.9}}
"""


@pytest.mark.parametrize(
    ("growth", "expected"),
    [
        ("kpis: {sales: 1, orders: 0.1}", []),
        ("kpis: {sales: 0, orders: 1}", ["the weight 0 is not above 0"]),
        ("kpis: {sales: 1, orders: 1}, objectives: {plan: 1}", []),
        ("kpis: {sales: 1, orders: 1}, objectives: {paln: 1}", ["unknown objective 'paln'"]),
        (
            "kpis: {sales: 1, orders: 1}, objectives: {growth: 1}",
            ["a cycle of objectives: growth → growth"],
        ),
    ],
)
def test_an_objective_is_made_of_what_there_is(
    growth: str, expected: list[str], tmp_path: Path
) -> None:
    changes = (
        f"{SERVING}\nobjectives: {{plan: {{kpis: {{by_clerk: 1, success: 1}}}}, "
        f"growth: {{{growth}}}}}"
    )
    assert messages(tmp_path, changes) == expected


def test_a_part_needs_a_target(tmp_path: Path) -> None:
    changes = "objectives: {plan: {kpis: {sales: 1, orders: 1, by_clerk: 1, success: 1}}}"
    assert messages(tmp_path, changes) == [
        f"'{name}' has no target, so it cannot attain anything"
        for name in ("sales", "orders", "by_clerk", "success")
    ]


def test_a_warning_names_all_kpis_that_serve_no_objective_themselves_or_through_one_over_them(
    tmp_path: Path,
) -> None:
    whole = "kpis: {all: {from: [orders], by: [], value: sum(orders), target: {at_least: 1}}}"
    changes = f"{whole}\nobjectives: {{plan: {{kpis: {{all: 1}}}}}}"
    expected = "3 KPIs serve no objective: sales, by_clerk, success"
    assert messages(tmp_path, changes) == [expected]
