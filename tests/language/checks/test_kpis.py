"""KPIs: dimensions, overrides, windows of days and expiry."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("sales", "expected"),
    [
        ("expire_after: 1h", []),
        ("expire_after: 59m", ["a series would expire before its window closes"]),
        ("window: 1d", []),
        (
            "window: 1d, timezone: Europe/Oslo",
            ["`1d` begins at midnight of UTC, not of Europe/Oslo"],
        ),
        ("window: day, timezone: Europe/Oslo", []),
        ("window: 12h, timezone: Europe/Oslo", []),
        ("window: 1d, timezone: Africa/Abidjan", []),
        ("backfill: 30d", []),
        ("target: {at_least: 1}, overrides: [{match: {region: no}, target: {at_least: 2}}]", []),
    ],
)
def test_a_kpi_can_do_what_it_says(sales: str, expected: list[str], tmp_path: Path) -> None:
    changes = f"kpis: {{sales: {{{sales}}}}}".replace("region: no", "region: 'no'")
    assert messages(tmp_path, changes) == expected


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{region: null}", []),
        ("{region: '7'}", []),
        ("{region: 7}", ["7 cannot equal 'region', which is text"]),
        ("{region: true}", ["true cannot equal 'region', which is text"]),
        ("{clerk: ann}", ["'clerk' is not a dimension of 'sales'"]),
    ],
)
def test_an_override_matches_series_that_there_can_be(
    match: str, expected: list[str], tmp_path: Path
) -> None:
    override = f"{{match: {match}, target: {{at_least: 2}}}}"
    changes = f"kpis: {{sales: {{target: {{at_least: 1}}, overrides: [{override}]}}}}"
    assert messages(tmp_path, changes) == expected


@pytest.mark.parametrize("source", ["[sales]", "[sales, orders]"])
def test_only_events_can_be_read_again(source: str, tmp_path: Path) -> None:
    changes = f"kpis: {{more: {{from: {source}, value: sales, backfill: 30d}}}}"
    assert messages(tmp_path, changes)[0] == "a KPI over KPIs has no events to read again"
