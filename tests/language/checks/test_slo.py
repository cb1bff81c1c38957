"""Rules with a pace or an objective: what fits their KPI."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("kpi: success, objective: 99.5% over 30d", []),
        ("kpi: success, objective: 99.5% over 30d, when: burn_rate('1d') > 2", []),
        (
            "kpi: sales, objective: 99.5% over 30d, when: burn_rate('1d') > 2",
            ["an objective is a share from 0 to 1, but 'sales' is in eur"],
        ),
        (
            "kpi: success, objective: 99.5% over 30d, severity: info",
            ["`severity`, but an `objective` alerts with two of them"],
        ),
        (
            "kpi: success, objective: 99.5% over 2d",
            [
                "`burn_rate('3d')` is longer than the objective's period",
                "a period shorter than 3d, the longest window evaluated",
            ],
        ),
    ],
)
def test_an_objective_is_of_a_share_and_can_be_missed(
    rule: str, expected: list[str], tmp_path: Path
) -> None:
    assert messages(tmp_path, f"rules: {{slo: {{{rule}}}}}") == expected


@pytest.mark.parametrize(
    ("kpi", "period", "expected"),
    [
        ("sales", "month", []),
        ("orders", "day", []),
        ("success", "month", ["a pace adds up the windows of 'success', which don't add up"]),
        ("weekly", "week", []),
        ("weekly", "day", ["a day is shorter than a window of 'weekly'"]),
    ],
)
def test_a_pace_adds_up_windows_within_its_period(
    kpi: str, period: str, expected: list[str], tmp_path: Path
) -> None:
    changes = f"""
kpis: {{weekly: {{from: sale, value: count(*), window: week}}}}
rules: {{pace: {{kpi: {kpi}, pace: {{period: {period}, target: 100}}}}}}
"""
    assert messages(tmp_path, changes) == expected
