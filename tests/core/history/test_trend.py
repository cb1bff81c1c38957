"""`trend()`, `declining()` and `rising()`."""

from __future__ import annotations

import random

import numpy as np
import pytest

from agent.core.history.trend import Run, Trend
from agent.core.model.windows import CalendarWindow, FixedWindow
from tests.core.history.looks import DAY, HOUR, MONDAY, look


def test_a_trend_is_a_slope_a_day_where_it_is_no_chance() -> None:
    rising = [100.0 + 2 * i for i in range(30)]
    assert Trend("", 30 * DAY, False).compute(look(rising)) == pytest.approx(2)
    assert Trend("", 30 * DAY, True).compute(look(rising)) == pytest.approx(2 / 129)
    noise = random.Random(7)
    flat = [100 + noise.gauss(0, 5) for _ in range(30)]
    assert Trend("", 30 * DAY, False).compute(look(flat)) == 0.0
    assert Trend("", 30 * DAY, False).compute(look(rising[:4])) is None
    assert Trend("", 30 * DAY, False).compute(look(rising[:12])) is None  # less than half is known


@pytest.mark.parametrize(
    ("span_ms", "relative", "words"),
    [
        (14 * DAY, True, "-1440 % a day"),
        (DAY, True, "-60 % an hour"),
        (DAY // 24, True, "-1 % a minute"),
        (14 * DAY, False, "-14.4 a day"),
        (DAY // 24, False, "-0.01 a minute"),
    ],
)
def test_a_trend_is_reported_by_a_unit_of_the_size_of_its_span(
    span_ms: int, relative: bool, words: str
) -> None:
    assert Trend("", span_ms, relative).describe(-14.4, {}) == words


def test_one_outlier_is_no_trend() -> None:
    values = [100.0 + 0.1 * (i % 3) for i in range(40)]
    values[-1] = 1e6
    assert Trend("", 40 * DAY, False).compute(look(values)) == 0.0


def test_windows_that_overlap_count_once() -> None:
    hopping = FixedWindow(4 * HOUR, HOUR)
    seen = look([float(i) for i in range(80)], hopping)
    days, values = seen.disjoint_values(40 * HOUR)
    assert values.tolist() == [float(i) for i in range(43, 80, 4)]
    assert np.diff(days).tolist() == pytest.approx([4 / 24] * 9)


def test_a_run_is_unbroken() -> None:
    falling = Run("", "declining", 3)
    assert falling.compute(look([9.0, 4, 3, 2, 1])) == 1
    assert falling.compute(look([9.0, 4, 4, 2, 1])) == 0
    assert falling.compute(look([3.0, 2, 1])) is None
    assert falling.compute(look([9.0, 4, None, 2, 1])) is None
    assert Run("", "rising", 2).compute(look([5.0, 1, 2, 3])) == 1


@pytest.mark.parametrize("zone", ["Europe/Oslo", "America/New_York", "Antarctica/Troll"])
def test_a_span_of_days_holds_as_many_days_though_clocks_changed(zone: str) -> None:
    days = CalendarWindow("day", zone)
    for count in range(15, 366):  # a year from a Monday in winter
        seen = look([float(i) for i in range(count)], days, start_ms=MONDAY)
        assert [len(seen.disjoint_windows(n * DAY)) for n in (1, 7, 14)] == [1, 7, 14]
