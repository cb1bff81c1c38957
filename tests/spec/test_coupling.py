"""KPIs that must see each other are placed by the dimensions that they share."""

from __future__ import annotations

from agent.core.windows import FixedWindow
from agent.spec.coupling import Coupling, placements
from agent.spec.shapes import Shape

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
    assert placements([], SHAPES) == {name: one.by for name, one in SHAPES.items()}


def test_kpis_that_are_coupled_are_placed_by_what_they_share() -> None:
    found = placements([Coupling(("a", "b"))], SHAPES)

    assert (found["a"], found["b"]) == (("channel",), ("channel",))
    assert found["c"] == ("employee",)


def test_coupling_is_transitive_whatever_its_order() -> None:
    wanted = {"a": (), "b": (), "c": (), "d": (), "e": ("region",)}
    links = [Coupling(("a", "b")), Coupling(("d", "c")), Coupling(("b", "d"))]

    assert placements(links, SHAPES) == wanted
    assert placements(links[::-1], SHAPES) == wanted


def test_a_group_of_peers_is_placed_by_its_dimensions() -> None:
    found = placements([Coupling(("a",), over=("region",)), Coupling(("c",), over=())], SHAPES)

    assert (found["a"], found["c"]) == (("region",), ())


def test_a_name_that_is_not_declared_couples_nothing() -> None:
    assert placements([Coupling(("nothing",))], SHAPES) == placements([], SHAPES)
