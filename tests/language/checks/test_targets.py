"""Targets: bounds and their warning band, and dates in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("{at_least: 10, warn: 10}", []),
        (
            "{at_least: 10, warn: 9}",
            ["warn 9 is below at_least 10: the target is missed before it warns"],
        ),
        ("{between: [1, 2]}", []),
        ("{between: [2, 2]}", ["2 is not below 2"]),
        ("{warn: 2}", ["a target without a bound"]),
        ("{at_least: 1, between: [1, 2]}", ["both at_least and between"]),
        ("{at_least: 1, warn: [1, 2]}", ["two warn values with at_least"]),
        ("[{at_least: 1}, {from: 2027-01-01, at_least: 2}]", []),
        ("[{at_least: 1}, {at_least: 2}]", ["'from' is missing"]),
        (
            "[{from: 2027-01-02, at_least: 1}, {from: 2027-01-01, at_least: 2}]",
            ["2027-01-01 comes before 2027-01-02"],
        ),
        (
            "[{from: 2027-01-01, at_least: 1}, {from: 2027-01-01, at_least: 2}]",
            ["2027-01-01 begins on the same day as 2027-01-01: only one of them can apply"],
        ),
    ],
)
def test_a_target_has_bounds_that_a_value_can_meet(
    target: str, expected: list[str], tmp_path: Path
) -> None:
    changes = f"kpis: {{sales: {{target: {target}}}}}".replace("2027-01-01,", "'2027-01-01',")
    changes = changes.replace("2027-01-02,", "'2027-01-02',")
    assert messages(tmp_path, changes) == expected


def test_a_dated_target_holds_for_a_window_at_least(tmp_path: Path) -> None:
    steps = "[{from: '2027-01-02', at_least: 1}, {from: '2027-01-05', at_least: 2}]"
    changes = f"kpis: {{sales: {{window: month, target: {steps}}}}}"
    assert messages(tmp_path, changes) == [
        "no month starts from 2027-01-02 until 2027-01-05: that target never applies"
    ]
