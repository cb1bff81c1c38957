"""Overrides of rules: series that there can be, and something that differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("match: {region: emea}, when: value < 5", []),
        ("match: {region: emea}, off: true", []),
        ("match: {region: emea}", ["an override that changes nothing"]),
        (
            "match: {region: emea}, off: true, for: 2h",
            ["an override that is `off` cannot change the rule, too"],
        ),
        ("match: {clerk: ann}, for: 2h", ["'clerk' is not a dimension of 'sales'"]),
        (
            "match: {region: emea}, no_data_for: 2h",
            ["`no_data_for` has no effect in a rule with `when`"],
        ),
    ],
)
def test_an_override_changes_something_for_some_series(
    override: str, expected: list[str], tmp_path: Path
) -> None:
    assert messages(tmp_path, f"rules: {{low: {{overrides: [{{{override}}}]}}}}") == expected


@pytest.mark.parametrize(
    ("per", "expected"),
    [
        ("series", []),
        ("kpi", ["a KPI that is watched as a whole has no series to override"]),
    ],
)
def test_a_kpi_as_a_whole_has_no_overrides(per: str, expected: list[str], tmp_path: Path) -> None:
    override = "{match: {region: emea}, no_data_for: 5h}"
    changes = f"""
rules: {{silent: {{kpi: sales, no_data_for: 3h, per: {per}, overrides: [{override}]}}}}
"""
    assert messages(tmp_path, changes) == expected
