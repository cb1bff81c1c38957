"""Targets that are another KPI's value: which KPIs can be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("goal", "target", "expected"),
    [
        ("unit: eur, by: [region], window: 1h", "goal", []),
        ("unit: eur, window: 1h", "goal", []),
        ("by: [region], window: 1h", "goal", []),
        ("unit: usd, by: [region], window: 1h", "goal", ["'goal' is in usd, 'sales' in eur"]),
        ("by: [region], window: 30m", "goal", ["the window of 'goal' is 30m, not 1h"]),
        (
            "by: [clerk], window: 1h",
            "goal",
            ["'goal' is by 'clerk', which 'sales' is not: there is no single value"],
        ),
        ("window: 1h", "sales", ["a KPI cannot be its own target"]),
        ("window: 1h", "gaol", ["unknown KPI 'gaol'"]),
    ],
)
def test_a_benchmark_has_the_window_the_unit_and_no_other_dimensions(
    goal: str, target: str, expected: list[str], tmp_path: Path
) -> None:
    changes = f"""
kpis:
  goal: {{from: sale, value: sum(amount), {goal}}}
  sales: {{target: {{at_least: kpi({target})}}}}
"""
    assert messages(tmp_path, changes) == expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("value < 100", []),
        (
            "value < target",
            ["the target of 'sales' is another KPI's value of the closed window"],
        ),
    ],
)
def test_a_rule_on_current_values_can_not_wait_for_a_benchmark(
    when: str, expected: list[str], tmp_path: Path
) -> None:
    changes = f"""
kpis:
  goal: {{from: sale, value: sum(amount), window: 1h}}
  sales: {{target: {{at_least: kpi(goal)}}}}
rules: {{low: {{when: {when}, on: current}}}}
"""
    assert messages(tmp_path, changes) == expected
