"""Rules: severities, labels, and times that the windows can tell apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("low", "expected"),
    [
        ("for: 1h", []),
        (
            "for: 59m",
            [
                "`for: 59m` is shorter than the 1h between two windows: "
                "it would fire at the first window"
            ],
        ),
        ("for: 59m, on: current", []),
        ("flapping: 2 in 2h", []),
        (
            "flapping: 3 in 3h",
            ["it can't fire 3 times in 3h: with these windows, that takes 4h"],
        ),
        ("flapping: 3 in 3h, on: current", []),
        ("when: {warning: value < 9, critical: value < 5}, clear: {critical: value > 6}", []),
        (
            "when: {warning: value < 9}, clear: {critical: value > 6}",
            ["`clear` for 'critical', which `when` does not have"],
        ),
        (
            "when: {warning: value < 9}, severity: info",
            ["`severity` and a `when` by severity"],
        ),
        ("labels: {area: shops}", []),
        ("labels: {region: north}", ["'region' cannot be a label: it is a dimension of the KPI"]),
    ],
)
def test_a_rule_on_values_can_do_what_it_says(
    low: str, expected: list[str], tmp_path: Path
) -> None:
    assert messages(tmp_path, f"rules: {{low: {{{low}}}}}") == expected


@pytest.mark.parametrize(
    ("silent", "expected"),
    [
        ("no_data_for: 5m", []),
        (
            "no_data_for: 4m",
            [
                "`no_data_for: 4m` is shorter than the slices of 5m in which the events of "
                "'sales' are counted"
            ],
        ),
        ("no_data_for: 6d", []),
        (
            "no_data_for: 1w",
            ["it would never fire: a series of 'sales' expires after 1w without events"],
        ),
        ("no_data_for: 1w, per: kpi", []),  # the KPI as a whole is never forgotten
        ("for: 2h", ["neither `when` nor `no_data_for`"]),
    ],
)
def test_a_silence_can_be_seen(silent: str, expected: list[str], tmp_path: Path) -> None:
    assert messages(tmp_path, f"rules: {{silent: {{kpi: sales, {silent}}}}}") == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("when: value < 1", []),
        (
            "when: value < 1, on: current",
            ["'share' is computed from closed windows: it has no current value"],
        ),
        ("no_data_for: 2h", ["'share' has no events of its own, so absence cannot be detected"]),
    ],
)
def test_a_kpi_over_kpis_has_closed_windows_only(
    rule: str, expected: list[str], tmp_path: Path
) -> None:
    changes = f"""
kpis: {{share: {{from: [sales, orders], value: sales / orders}}}}
rules: {{odd: {{kpi: share, {rule}}}}}
"""
    assert messages(tmp_path, changes) == expected
