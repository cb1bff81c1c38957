"""Rules over rules: names that mean something, and no cycles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("low and silent", []),
        ("low.warning and not silent", []),
        ("low.critical", ["'low' never fires with severity 'critical'"]),
        ("low and lwo", ["unknown rule or KPI 'lwo'"]),
        ("success", []),
        ("orders", ["'orders' has no target to miss"]),
        ("success.warning", ["'success' is a KPI: only rules have severities"]),
        ("low and both", ["a cycle of rules: both → both"]),
    ],
)
def test_a_composite_is_over_what_can_fire(when: str, expected: list[str], tmp_path: Path) -> None:
    changes = f"""
kpis: {{success: {{target: {{at_least: 0.9}}}}}}
rules:
  silent: {{kpi: sales, no_data_for: 2h}}
  both: {{when: {when}}}
"""
    assert messages(tmp_path, changes) == expected


@pytest.mark.parametrize(
    ("dependency", "expected"),
    [
        ("silent", []),
        ("sales", []),  # `silent` watches whether it comes
        ("low", ["a rule cannot depend on itself"]),
        ("slient", ["unknown rule, KPI or event 'slient'"]),
        ("visit", ["no rule watches for the absence of 'visit'"]),
    ],
)
def test_a_rule_depends_on_one_that_can_fire(
    dependency: str, expected: list[str], tmp_path: Path
) -> None:
    changes = f"""
rules:
  silent: {{kpi: sales, no_data_for: 2h}}
  low: {{depends_on: [{dependency}]}}
"""
    assert messages(tmp_path, changes) == expected
