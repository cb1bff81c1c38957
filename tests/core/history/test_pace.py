"""The pace of a period: by a straight line, or by the shape of past periods."""

from __future__ import annotations

from typing import Literal

import pytest

from agent.core.history.calendar_spans import days_between
from agent.core.history.pace import Pace
from agent.core.model.windows import CalendarWindow
from tests.core.history.looks import DAY, at, look


def test_a_pace_by_a_straight_line() -> None:
    start = at("UTC", 2025, 4, 1)
    seen = look([10.0] * 15, start_ms=start)
    assert Pace("", "to_date", "month", "UTC", 400, 0).compute(seen) == 150
    assert Pace("", "projected", "month", "UTC", 400, 0).compute(seen) == pytest.approx(300)
    assert Pace("", "pace", "month", "UTC", 400, 0).compute(seen) == pytest.approx(150 / 200)
    assert (
        Pace("", "projected", "month", "UTC", 400, 0).compute(look([10.0], start_ms=start)) is None
    )
    # A series that began within the month: nobody knows what was before.
    late = look([10.0] * 5, start_ms=start + 3 * DAY)
    assert Pace("", "to_date", "month", "UTC", 400, 0).compute(late) is None


@pytest.mark.parametrize("unit", ["week", "month"])
def test_a_day_of_another_length_is_due_as_much_as_any(unit: Literal["week", "month"]) -> None:
    """In Oslo clocks change on Sunday, 2025-03-30, and on Sunday, 2025-10-26."""
    zone = "Europe/Oslo"
    day, period = CalendarWindow("day", zone), CalendarWindow(unit, zone)
    for change in (at(zone, 2025, 3, 30), at(zone, 2025, 10, 26)):
        start = period.pane_start(change)
        end = period.first_end_after(start)
        days = round(days_between(start, end, zone))
        for count in range(2, days + 1):
            seen = look([0.1] * count, day, start_ms=start)
            assert Pace("", "pace", unit, zone, 0.1 * days, 0).compute(seen) == 1
            assert Pace("", "projected", unit, zone, 0, 0).compute(seen) == float(
                f"{0.1 * days:.12g}"
            )


def test_a_pace_by_the_shape_of_past_periods() -> None:
    # Each week, six tenths come on its first day and the rest evenly.
    week = [60.0] + [40 / 6] * 6
    seen = look([*week, *week, *week, 30.0, 2.0])
    expected = (60 + 40 / 6) / 100
    shaped = Pace("", "projected", "week", "UTC", 100, 3)
    assert shaped.compute(seen) == pytest.approx(32 / expected)
    assert Pace("", "pace", "week", "UTC", 100, 3).compute(seen) == pytest.approx(0.32 / expected)
    assert Pace("", "projected", "week", "UTC", 100, 4).compute(seen) is None


def test_the_shape_of_past_weeks_is_followed_over_a_change_of_clocks() -> None:
    zone = "Europe/Oslo"
    day, week = CalendarWindow("day", zone), CalendarWindow("week", zone)
    for change in (at(zone, 2025, 3, 30), at(zone, 2025, 10, 26)):
        changed = week.pane_start(change)
        for start in (week.start_of(changed), changed, week.first_end_after(changed)):
            past = week.start_of(week.start_of(start))
            for count in range(1, 8):
                seen = look([0.1] * (14 + count), day, start_ms=past)
                assert Pace("", "pace", "week", zone, 0.7, 2).compute(seen) == pytest.approx(1)


def test_the_shape_of_months_is_followed_by_their_share_though_they_have_28_or_31_days() -> None:
    zone = "Europe/Oslo"  # in March clocks change
    day = CalendarWindow("day", zone)
    for count in range(2, 32):
        seen = look([1.0] * (31 + 28 + count), day, start_ms=at(zone, 2025, 1, 1))
        pace = Pace("", "pace", "month", zone, 31, 2).compute(seen)
        # Of a past month whole windows count: up to a day less than the share.
        assert pace is not None and 1 - 1e-9 <= pace <= 1 + 1 / (count - 1)
    assert pace == pytest.approx(1)
