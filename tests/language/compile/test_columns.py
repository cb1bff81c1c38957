"""Fields of an event that are computed from others."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.model.plan import Plan
from agent.language.load import check, load

RULES = """
version: 1
events:
  order:
    topic: shop
    time: at
    fields: {amount: float, country: string, employee: string}
    computed:
      size: "if(amount > 10, 'large', 'small')"
      cents: cast(amount * 100 as bigint)
      initial: left(employee, 1)
kpis:
  by_size: {from: order, value: count(*), by: [size], window: 1h}
  cents: {from: order, where: cents > 5, value: sum(cents), window: 1h}
  plain: {from: order, value: count(*), by: [country], window: 1h}
"""


def plan_of(folder: Path, rules: str) -> Plan:
    (folder / "rules.yaml").write_text(rules)
    return load(folder)


def test_a_computed_field_has_the_type_of_its_sql(tmp_path: Path) -> None:
    contract = plan_of(tmp_path, RULES).contracts["order"]
    assert {f.name: f.type for f in contract.computed} == {
        "size": "string",
        "cents": "integer",
        "initial": "string",
    }


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("amount > 10", "amount > 11", {"by_size"}),
        ("amount * 100", "amount * 10", {"cents"}),
        ("amount: float", "amount: {type: float, path: total}", {"by_size", "cents"}),
        ("left(employee, 1)", "left(employee, 2)", set()),
    ],
)
def test_the_kpis_that_use_a_computed_field_start_over_where_it_changes(
    before: str, after: str, changed: set[str], tmp_path: Path
) -> None:
    first, second = (plan_of(tmp_path, r) for r in (RULES, RULES.replace(before, after)))
    assert {
        n for n in first.kpis if first.kpis[n].fingerprint != second.kpis[n].fingerprint
    } == changed


def test_what_is_computed_from_a_person_shows_the_person(tmp_path: Path) -> None:
    private = (
        "  mine: {from: order, value: count(*), by: [employee], person: employee, "
        "visibility: private, window: 1h}\n"
        "  initials: {from: order, value: count(*), by: [initial], window: 1h}\n"
    )
    (tmp_path / "rules.yaml").write_text(RULES + private)
    _, problems = check(tmp_path)
    assert [p.where for p in problems] == ["kpis.initials.by[0]"]
    assert problems[0].message == "'initial' names the people of 'mine', which is private"
