"""The tables of `docs/rules.md` that say which kind of rule takes which field are as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.language.checks.kinds import REFUSED
from agent.language.load import check
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "rules.md").read_text()
COMPANY: dict[str, Any] = yaml.safe_load("""
version: 1
events:
  order: {topic: shop, time: at, fields: {amount: float, region: string, ok: boolean}}
kpis:
  revenue: {from: order, value: sum(amount), by: [region], window: 5m, target: {at_least: 100}}
  orders: {from: order, value: count(*), by: [region], window: 5m}
  success: {unit: ratio, from: order, value: count_if(ok) / count(*), by: [region], window: 5m}
rules:
  low: {kpi: revenue, when: value < 5}
  gone: {kpi: orders, no_data_for: 1h}
""")
KINDS: dict[str, dict[str, Any]] = {
    "threshold": {"kpi": "revenue", "when": "value < 50"},
    "change": {"kpi": "revenue", "when": "change('1 day') < -20%"},
    "trend": {"kpi": "revenue", "when": "trend('2 days') < -2% per day"},
    "anomaly": {"kpi": "revenue", "when": "anomaly() > 4"},
    "forecast": {"kpi": "revenue", "when": "breach_in('3 days')"},
    "burn rate": {"kpi": "success", "objective": "99% over 30d"},
    "pace": {"kpi": "revenue", "pace": {"period": "month", "target": 1000}},
    "peers": {"kpi": "revenue", "when": "deviation_from_group > 5"},
    "absence": {"kpi": "orders", "no_data_for": "30m"},
    "composite": {"when": "low and gone"},
}
FIELDS: dict[str, Any] = {
    "for": "10m",
    "clear": "value > 60",
    "keep_firing_for": "10m",
    "min_events": 3,
    "min_history": "1d",
    "on_no_data": "resolve",
    "flapping": "3 in 1h",
    "severity": "critical",
    "depends_on": ["gone"],
    "overrides": [{"match": {"region": "apac"}, "keep_firing_for": "1h"}],
    "on": "current",
}
CLEAR = {"composite": "not low", "burn rate": "value > 0.6"}
"""Conditions of kinds whose values are not those of revenue."""
SAYS_IT: dict[str, Any] = {
    **FIELDS,
    "when": "value < 7",
    "no_data_for": "2h",
    "off": True,
    "pace": {"period": "month", "target": 5},
    "objective": "99.9% over 30d",
}
"""What a field of an override may be."""


def levels(kind: str) -> dict[str, Any]:
    """A rule with one condition for each severity."""
    rule = dict(KINDS[kind])
    key = "no_data_for" if kind == "absence" else "when"
    two = {"absence": ("30m", "2h"), "composite": ("low and gone", "low or gone")}
    mild, grave = two.get(kind, (rule.get("when", "value < 50"), "value < 5"))
    return {**rule, key: {"warning": mild, "critical": grave}}


def told_of(tmp_path: Path, rule: dict[str, Any]) -> list[tuple[str, str | None]]:
    file = tmp_path / "rules.yaml"
    rules = {**COMPANY["rules"], "it": rule}
    file.write_text(yaml.safe_dump({**COMPANY, "rules": rules}, sort_keys=False))
    _, problems = check(file)
    return [(p.message, p.hint) for p in problems if p.severity == "error"]


def table(head: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of the table with such a head: the first cell, and the others by their heads."""
    lines = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()
    heads, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    for row in rows[1:]:
        yield row[0], dict(zip(heads[1:], row[1:], strict=True))


def reasons() -> dict[tuple[str, str], str]:
    """What the page says of a field that a kind does not take."""
    by_field = {}
    for field, row in table("| not | of | but |"):
        for kind in row["of"].split(", "):
            by_field[kind, field.strip("`")] = row["but"]
    return by_field


CELLS = [
    (kind, field.strip("`"), cell)
    for kind, row in table("| kind | by severity |")
    for field, cell in row.items()
]


def test_the_table_has_every_kind_and_field() -> None:
    assert {kind for kind, _, _ in CELLS} == set(KINDS)
    assert {field for _, field, _ in CELLS} == {"by severity", *FIELDS}


@pytest.mark.parametrize(("kind", "field", "cell"), CELLS)
def test_a_kind_takes_the_fields_that_the_table_says(
    kind: str, field: str, cell: str, tmp_path: Path
) -> None:
    rule = levels(kind) if field == "by severity" else {**KINDS[kind], field: FIELDS[field]}
    if field == "clear" and kind in CLEAR:
        rule["clear"] = CLEAR[kind]
    shown = told_of(tmp_path, rule)
    if cell == "yes":
        assert shown == []
        return
    assert cell == "–"
    [(message, hint)] = shown
    assert field in message or kind in ("peers", "burn rate")
    assert hint is not None
    assert (kind, field) in reasons()


def test_what_is_refused_has_the_reason_that_the_page_says() -> None:
    said = {(k, f): text for (k, f), text in reasons().items() if k in REFUSED}
    for (kind, field), text in said.items():
        assert text == REFUSED[kind][field]  # type: ignore[index]
    refused = {(kind, field) for kind, field, cell in CELLS if cell == "–"}
    assert set(reasons()) == refused


OVERRIDES = [
    (kind, field, field in re.findall(r"`(\w+)`", row["may say"]))
    for kind, row in table("| overrides of | may say |")
    for field in [*SAYS_IT]
    if field not in ("depends_on", "overrides", "on")
]


@pytest.mark.parametrize(("kind", "field", "may"), OVERRIDES)
def test_an_override_may_say_what_the_table_says(
    kind: str, field: str, may: bool, tmp_path: Path
) -> None:
    rule = {"values": "threshold"}.get(kind, kind)
    if field in ("pace", "objective") and may:
        rule = {"pace": "pace", "objective": "burn rate"}[field]
    said = SAYS_IT[field]
    if kind == "composite" and field in ("when", "clear"):
        said = {"when": "gone", "clear": "not low"}[field]
    override = {"match": {"region": "apac"}, field: said}
    shown = told_of(tmp_path, {**KINDS[rule], "overrides": [override]})
    assert (shown == []) == may, shown
    assert may or f"`{field}` has no effect in a rule" in shown[0][0]
