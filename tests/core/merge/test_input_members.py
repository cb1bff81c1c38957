"""Which series of its inputs a derived KPI's series stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agent.core.frame import series_key
from agent.core.merge.input_windows import InputDimensions, Members
from agent.core.model.kpis import Dimensions
from agent.core.state.series import Series
from agent.language.load import load

RULES = """
version: 1
events:
  sold: {topic: tills, time: at, fields: {price: float, shop: string, till: string}}
kpis:
  sales: {from: sold, value: sum(price), window: 1h, by: [shop, till]}
  refunds: {from: sold, value: count(*), where: price < 0, window: 1h, by: [till, shop]}
  share: {from: [refunds, sales], value: sum(refunds) / sum(sales), by: [shop]}
"""
NORTH: Dimensions = ("north",)
TILL: Dimensions = ("north", "till-1")


@dataclass
class Input:
    """An input with these series."""

    series: dict[Dimensions, Series] = field(default_factory=dict)

    @property
    def unread_series(self) -> list[Series]:
        return list(self.series.values())


def series(kpi: str, dimensions: Dimensions, first_ms: int = 0) -> Series:
    return Series.new(kpi, "f", dimensions, first_ms)


def dimensions(tmp_path: Path) -> InputDimensions:
    (tmp_path / "rules.yaml").write_text(RULES)
    plan = load(tmp_path)
    assert plan.kpis["share"].inputs == ("refunds", "sales")
    return InputDimensions(plan, plan.kpis["share"])


def test_dimensions_are_put_in_the_order_of_the_kpi_and_of_its_first_input(tmp_path: Path) -> None:
    names = dimensions(tmp_path)
    assert names.rolls_up
    for index, theirs in enumerate([("till-1", "north"), ("north", "till-1")]):
        assert names.ours(index, theirs) == NORTH
        assert names.in_common_order(index, theirs) == ("till-1", "north")
        assert names.in_input_order(index, ("till-1", "north")) == theirs


def test_what_one_input_has_lost_and_another_has_is_in_the_row_of_the_kpis_series(
    tmp_path: Path,
) -> None:
    ours = {NORTH: series("share", NORTH)}
    members = Members(dimensions(tmp_path), ours)
    common = ("till-1", "north")
    members.note(common, 0b11)
    refunds, sales = Input(), Input({TILL: series("sales", TILL)})
    assert list(members.note_lost([refunds, sales])) == [NORTH]
    assert ours[NORTH].lost_inputs == {series_key(common): 0b01}
    assert list(members.note_lost([refunds, sales])) == []
    assert members.had(ours[NORTH])(common) == 0b11
    assert members.lost([refunds, sales], ours[NORTH])(common) == 0b01


def test_a_series_that_no_input_has_is_forgotten(tmp_path: Path) -> None:
    ours = {NORTH: series("share", NORTH)}
    members = Members(dimensions(tmp_path), ours)
    members.note(("till-1", "north"), 0b11)
    assert list(members.note_lost([Input(), Input()])) == []
    assert members.had(ours[NORTH])(("till-1", "north")) == 0


def test_after_a_restart_a_series_is_known_where_the_kpi_has_closed_a_window_of_it(
    tmp_path: Path,
) -> None:
    ours = {NORTH: series("share", NORTH)}
    ours[NORTH].close(10)
    late = ("north", "till-2")
    sales = Input({TILL: series("sales", TILL, 0), late: series("sales", late, 10)})
    members = Members(dimensions(tmp_path), ours)
    members.restore([Input(), sales])
    assert members.had(ours[NORTH])(("till-1", "north")) == 0b10
    assert members.had(ours[NORTH])(("till-2", "north")) == 0
