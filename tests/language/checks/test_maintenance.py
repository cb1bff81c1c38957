"""Maintenance: times that come, and leave something to evaluate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ('every: week, on: sunday, at: "02:00", for: 4h', []),
        ("every: week, on: sunday", []),
        ('every: week, on: sunday, at: "02:00"', ["'for' is missing"]),
        ("every: week", ["'on' is missing"]),
        ("every: month, on: sunday", ["'sunday' is not a day of a month"]),
        ("every: month, on: 28", []),
        ("every: month, on: 29", ["not every month has a day 29"]),
        ("every: day, on: sunday", ["`on` has no effect with `every: day`"]),
        ("from: 2027-03-06T22:00", ["'until' is missing"]),
        ("from: 2027-03-06T22:00, until: 2027-03-07T02:00", []),
        (
            "from: 2027-03-06T22:00, until: 2027-03-06T22:00",
            ["2027-03-06T22:00 is not after 2027-03-06T22:00"],
        ),
        ("kpis: [sales]", ["a maintenance without a time"]),
        ("holidays: GB, every: week, on: sunday", ["both `every` and `holidays`"]),
        ("every: week, on: sunday, kpis: [sales, sales]", ["'sales' is given twice"]),
        ("every: week, on: sunday, match: {shop: a}", ["no KPI has a dimension 'shop'"]),
        (
            "every: day, kpis: [sales]",
            ["it covers every window of 'sales' (1h)"],
        ),
    ],
)
def test_a_maintenance_comes_and_ends(calls: str, expected: list[str], tmp_path: Path) -> None:
    assert messages(tmp_path, f"maintenance: {{calls: {{{calls}}}}}") == expected


def test_two_together_leave_something_to_evaluate(tmp_path: Path) -> None:
    changes = """
maintenance:
  weekdays: {every: week, on: [monday, tuesday, wednesday, thursday, friday], kpis: [sales]}
  weekends: {every: week, on: [saturday, sunday], kpis: [sales]}
"""
    assert messages(tmp_path, changes) == [
        "with 'weekdays', every window of 'sales' is in maintenance"
    ]
