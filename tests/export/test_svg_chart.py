from __future__ import annotations

from math import nan
from xml.etree import ElementTree

import pytest

from agent.export import svg_chart
from agent.export.svg_chart import Point, Scale


def test_text_and_attributes_are_escaped() -> None:
    drawn = svg_chart.element("g", svg_chart.text(1, 2, '<b>&"'), aria_label='"><script>')
    parsed = ElementTree.fromstring(drawn)
    assert parsed.get("aria-label") == '"><script>'
    assert parsed.findtext("text") == '<b>&"'


def test_attributes_are_spelled_as_svg_spells_them() -> None:
    drawn = svg_chart.element("rect", class_="a b", stroke_width=1.25, x=3.0, y=None, viewBox="0 0")
    assert drawn == '<rect class="a b" stroke-width="1.2" x="3" viewBox="0 0"/>'


def test_a_scale_maps_its_range_to_pixels_and_clamps_where_it_is_reported_to() -> None:
    y = Scale(0, 10, 100, 0)
    assert [y(value) for value in (0, 5, 10, 20)] == [100, 50, 0, -100]
    assert Scale(0, 10, 100, 0, clamped=True)(20) == 0
    assert Scale(3, 3, 5, 9)(3) == 5  # all values are alike


@pytest.mark.parametrize(
    ("points", "drawn"),
    [
        ([], []),
        ([(0, 1), (1, 2)], ["M0 1L1 2"]),
        ([(0, 1), (1, None), (2, 3), (3, 4)], ["M0 1h.01", "M2 3L3 4"]),
        ([(0, None), (1, nan), (2, 5), (3, None)], ["M2 5h.01"]),
    ],
)
def test_a_line_breaks_where_a_value_is_missing(points: list[Point], drawn: list[str]) -> None:
    assert [svg_chart.path(run) for run in svg_chart.runs(points)] == drawn
    assert svg_chart.line(points, "line").count("<path") == len(drawn)


def test_a_band_is_never_narrower_than_it_is_reported_and_says_what_it_is() -> None:
    parsed = ElementTree.fromstring(svg_chart.band(10, 10, 0, 5, "fires", "critical <1>", 1.5))
    assert parsed.get("width") == "1.5"
    assert parsed.findtext("title") == "critical <1>"
