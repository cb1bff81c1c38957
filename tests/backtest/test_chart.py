"""Series as lines of blocks."""

from __future__ import annotations

from agent.backtest.chart import bars, column_of, columns, marks


def test_each_column_has_the_value_farthest_from_the_median() -> None:
    points = [(0, 5.0), (1, 5.0), (2, 9.0), (3, 5.0), (7, 1.0), (6, 5.0)]
    assert columns(points, (0, 8), 4) == [5.0, 9.0, None, 1.0]
    assert columns([], (0, 8), 3) == [None, None, None]


def test_instants_outside_are_in_the_nearest_column() -> None:
    assert [column_of(at, (0, 10), 5) for at in (-5, 0, 3, 9, 10, 99)] == [0, 0, 1, 4, 4, 4]


def test_bars_fill_from_the_bottom_and_the_least_value_shows() -> None:
    assert bars([0.0, 8.0, 16.0, None, 12.0], 0.0, 16.0, height=2) == ["  █ ▄", "▁██ █"]
    assert bars([3.0, 3.0], 3.0, 3.0, height=2) == ["", "▁▁"]


def test_marks_touch_every_column_of_a_span() -> None:
    assert marks([((0, 4), "·"), ((4, 6), "━")], (0, 10), 10) == "····━━━"
