"""`change()` compares a window with the one a span ago, by the calendar of a zone."""

from __future__ import annotations

import pytest

from agent.core.history.calendar_spans import Span
from agent.core.history.change import Change
from agent.core.model.windows import CalendarWindow, FixedWindow, Window
from tests.core.history.looks import HOUR, HOURS, LONDON, at, look


def test_a_change_is_compared_with_the_window_a_span_ago() -> None:
    seen = look([50.0, *[80.0] * 6, 40.0])
    assert Change("", Span(days=7), True, "UTC").compute(seen) == pytest.approx(-0.2)
    assert Change("", Span(days=7), False, "UTC").compute(seen) == -10
    assert Change("", None, False, "UTC").compute(seen) == -40
    assert Change("", Span(days=8), False, "UTC").compute(seen) is None


def test_a_change_of_a_negative_value_has_the_sign_of_the_change() -> None:
    assert Change("", None, True, "UTC").compute(look([-50.0, -25.0])) == pytest.approx(0.5)
    assert Change("", None, True, "UTC").compute(look([0.0, 1.0])) is None
    assert Change("", None, False, "UTC").compute(look([None, 1.0])) is None
    assert Change("", None, False, "UTC").compute(look([1.0, None])) is None


def test_a_day_ago_is_the_same_hour_though_clocks_changed() -> None:
    # Clocks went forward on 2025-03-30 at 01:00 UTC: noon in London was 24 hours before 12:00 BST.
    start = at(LONDON, 2025, 3, 29, 0)
    hours = round((at(LONDON, 2025, 3, 30, 13) - start) / HOUR)
    seen = look([float(i) for i in range(hours)], HOURS, start_ms=start)
    # 12:00 to 13:00 on the 30th is hour 35 of the 47 of both days; the 29th's is hour 12.
    assert seen.value == 35
    assert Change("", Span(days=1), False, LONDON).compute(seen) == 35 - 12
    assert Change("", Span(ms=24 * HOUR), False, LONDON).compute(seen) == 24


def test_months_are_compared_with_months() -> None:
    months = CalendarWindow("month", LONDON)
    seen = look([float(i) for i in range(14)], months, start_ms=at(LONDON, 2023, 12, 1))
    assert Change("", Span(months=12), False, LONDON).compute(seen) == 12
    assert Change("", Span(months=1), False, LONDON).compute(seen) == 1
    weeks = CalendarWindow("week", LONDON)
    seen = look([float(i) for i in range(54)], weeks, start_ms=at(LONDON, 2024, 1, 1))
    # The week from 2025-01-06: a year before is Saturday the 6th, in the week from 2024-01-01.
    assert Change("", Span(months=12), False, LONDON).compute(seen) == 53


@pytest.mark.parametrize(
    ("window", "count", "apart"), [(CalendarWindow("day", "Pacific/Apia"), 7, 1), (HOURS, 149, 24)]
)
def test_no_window_is_compared_with_itself_after_a_day_that_the_zone_skipped(
    window: Window, count: int, apart: int
) -> None:
    zone = "Pacific/Apia"
    seen = look([float(i) for i in range(count)], window, start_ms=at(zone, 2011, 12, 24))
    assert Change("", Span(days=1), False, zone).compute(seen) == apart


@pytest.mark.parametrize(("month", "day"), [(3, 30), (10, 26)])
@pytest.mark.parametrize("hours", [6, 12, 24])
def test_a_week_ago_is_the_nearest_window_though_clocks_changed(
    month: int, day: int, hours: int
) -> None:
    # Windows end at midnight in UTC, which is one or two o'clock in Oslo.
    window = FixedWindow(hours * HOUR, hours * HOUR)
    start = at("UTC", 2025, month, day - 10)
    for count in range(9 * 24 // hours, 19 * 24 // hours):
        seen = look([float(i) for i in range(count)], window, start_ms=start)
        change = Change("", Span(days=7), False, "Europe/Oslo").compute(seen)
        assert change == 7 * 24 // hours
