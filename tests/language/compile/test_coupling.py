"""KPIs that must see each other are placed by the dimensions that they share."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.model.windows import FixedWindow
from agent.language.compile.coupling import Coupling, placements
from agent.language.compile.shapes import Shape
from agent.language.load import load

MINUTE = FixedWindow(60_000, 60_000)


def shape(*by: str) -> Shape:
    return Shape(by, MINUTE, {})


SHAPES = {
    "a": shape("region", "channel"),
    "b": shape("channel"),
    "c": shape("employee"),
    "d": shape("employee", "channel"),
    "e": shape("region"),
}


def test_what_nothing_couples_is_placed_by_all_its_dimensions() -> None:
    assert placements([], SHAPES) == {name: shape.by for name, shape in SHAPES.items()}


def test_kpis_that_are_coupled_are_placed_by_what_they_share() -> None:
    by_kpi = placements([Coupling(("a", "b"))], SHAPES)

    assert (by_kpi["a"], by_kpi["b"]) == (("channel",), ("channel",))
    assert by_kpi["c"] == ("employee",)


def test_coupling_is_transitive_whatever_its_order() -> None:
    wanted = {"a": (), "b": (), "c": (), "d": (), "e": ("region",)}
    links = [Coupling(("a", "b")), Coupling(("d", "c")), Coupling(("b", "d"))]

    assert placements(links, SHAPES) == wanted
    assert placements(links[::-1], SHAPES) == wanted


def test_a_group_of_peers_is_placed_by_its_dimensions() -> None:
    by_kpi = placements([Coupling(("a",), over=("region",)), Coupling(("c",), over=())], SHAPES)

    assert (by_kpi["a"], by_kpi["c"]) == (("region",), ())


def test_a_name_that_is_not_declared_couples_nothing() -> None:
    assert placements([Coupling(("nothing",))], SHAPES) == placements([], SHAPES)


RULES = """
version: 1
events:
  task: {topic: work, time: at, fields: {crew: string, employee: string, region: string}}
kpis:
  tasks: {from: task, value: count(*), by: [crew, employee], window: 1h}
  others: {from: task, value: count(*), by: [region], window: 1h}
  busy: {from: task, value: count(*), by: [region, crew], window: 1h}
rules:
"""


@pytest.mark.parametrize(
    ("rules", "tasks", "busy"),
    [
        ("odd: {kpi: tasks, when: deviation_from_group > 3}", (), None),
        ("odd: {kpi: tasks, when: deviation_from_group(by='crew') > 3}", ("crew",), None),
        ("many: {kpi: busy, when: value > 9}", None, None),
        ("a: {kpi: tasks, when: value > 9}\n  b: {kpi: busy, when: value > 9}\n"
         "  both: {when: a and b}", ("crew",), ("crew",)),
        ("a: {kpi: tasks, when: value > 9, depends_on: [gone]}\n"
         "  gone: {kpi: busy, no_data_for: 2h, per: kpi}", None, None),
        ("a: {kpi: tasks, when: value > 9, depends_on: [gone]}\n"
         "  gone: {kpi: busy, no_data_for: 2h}", ("crew",), ("crew",)),
    ],
)  # fmt: skip
def test_rules_place_the_kpis_that_they_see_together(
    rules: str,
    tasks: tuple[str, ...] | None,
    busy: tuple[str, ...] | None,
    tmp_path: Path,
) -> None:
    (tmp_path / "rules.yaml").write_text(f"{RULES}  {rules}\n")

    kpis = load(tmp_path).kpis

    assert (kpis["tasks"].placement, kpis["busy"].placement) == (tasks, busy)
    assert kpis["others"].placement is None
