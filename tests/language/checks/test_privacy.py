"""Private KPIs: who their people are, and where else they could be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages

BESIDE = "add: {from: sale, value: count(*), by: [region], window: 1h}"


@pytest.mark.parametrize(
    ("by_clerk", "beside", "expected"),
    [
        ("visibility: private, person: clerk", BESIDE, []),
        ("visibility: private", BESIDE, ["a private KPI that does not say who its people are"]),
        (
            "visibility: private, person: region",
            "add: {from: visit, value: count(*), window: 1h}",
            ["'region' is not a dimension of the KPI"],
        ),
        ("person: clerk", BESIDE, ["`person` has no effect in a KPI that everybody sees"]),
        (
            "visibility: private, person: clerk",
            "add: {from: sale, value: count(*), by: [clerk], window: 1h}",
            ["'clerk' names the people of 'by_clerk', which is private"],
        ),
        (
            "visibility: private, person: clerk",
            "add: {from: [by_clerk], value: by_clerk}",
            ["it is computed from 'by_clerk', which is private, and shows the same people"],
        ),
        (
            "visibility: private, person: clerk",
            "add: {from: [by_clerk], by: [], value: sum(by_clerk)}",
            [],
        ),
    ],
)
def test_people_are_shown_by_private_kpis_only(
    by_clerk: str, beside: str, expected: list[str], tmp_path: Path
) -> None:
    changes = f"kpis: {{by_clerk: {{{by_clerk}}}, {beside}}}"
    if "person: region" in by_clerk:
        changes = changes.replace("kpis: {", "kpis: {sales: {by: []}, orders: {by: []}, ")
    assert messages(tmp_path, changes) == expected
