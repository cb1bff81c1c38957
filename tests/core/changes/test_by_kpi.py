"""What of a rule change is said on each KPI's page."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.changes.diff import (
    MOST_PARTS,
    Change,
    Difference,
    Part,
    changes_by_kpi,
    compare,
    is_general,
)
from agent.core.changes.outline import Outline, public_outline
from agent.language.load import load
from tests.core.changes.test_diff import SHOP


def outline_of(folder: Path, rules: str) -> Outline:
    file = folder / "shop.yaml"
    file.write_text(rules)
    return public_outline(load(file))


@pytest.mark.parametrize(
    ("before", "after", "about", "general"),
    [
        (
            "at_least: 100, warn: 120",
            "at_least: 90, warn: 120",
            {"revenue": "target: at_least 100, warn 120 → at_least 90, warn 120"},
            False,
        ),
        ("for: 20m", "for: 30m", {"revenue": "rule revenue_low, for: 20m → 30m"}, False),
        ("  no_orders:", "  silence:", {"orders": "rule silence was called no_orders"}, False),
        (
            "  no_orders: {kpi: orders, no_data_for: 30m}\n",
            "",
            {"orders": "rule no_orders removed"},
            False,
        ),
        ("minimum: 0", "minimum: 1", {}, True),
        ("growth: {kpis", "rise: {kpis", {}, False),
    ],
)
def test_each_kpi_has_what_is_about_it_and_its_rules(
    before: str, after: str, about: dict[str, str], general: bool, tmp_path: Path
) -> None:
    old, new = outline_of(tmp_path, SHOP), outline_of(tmp_path, SHOP.replace(before, after))
    difference = compare(old, new)
    assert changes_by_kpi(old, new, difference) == about
    assert is_general(difference) is general


def test_of_many_parts_a_few_are_said(tmp_path: Path) -> None:
    outline = outline_of(tmp_path, SHOP)
    parts = tuple(Part(f"part{n}", "a", "b") for n in range(MOST_PARTS + 2))
    change = Difference((Change("kpis", "revenue", "changed", parts),))
    said = changes_by_kpi(outline, outline, change)["revenue"]
    assert said.startswith("part0: a → b; ") and said.endswith("part4: a → b; and 2 more")
