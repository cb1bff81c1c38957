"""Spans of days and months by the calendar of a zone, over changes of clocks."""

from __future__ import annotations

import pytest

from agent.core.history.calendar_spans import Span, after_days, back, days_between
from tests.core.history.looks import at


@pytest.mark.parametrize(
    ("day", "span", "expected"),
    [
        ((2025, 3, 31), Span(months=1), (2025, 2, 28)),
        ((2024, 3, 31), Span(months=1), (2024, 2, 29)),
        ((2024, 2, 29), Span(months=12), (2023, 2, 28)),
        ((2025, 1, 15), Span(months=3), (2024, 10, 15)),
        ((2025, 11, 3), Span(days=7), (2025, 10, 27)),
    ],
)
def test_back_by_the_calendar(
    day: tuple[int, int, int], span: Span, expected: tuple[int, int, int]
) -> None:
    zone = "America/New_York"
    assert back(at(zone, *day, 9, 30), span, zone) == at(zone, *expected, 9, 30)


@pytest.mark.parametrize(
    ("day", "span", "expected"),
    [
        ((2011, 12, 31), Span(days=1), (2011, 12, 29)),
        ((2012, 1, 6), Span(days=7), (2011, 12, 29)),
        ((2012, 1, 30), Span(months=1), (2011, 12, 29)),
        ((2012, 1, 1), Span(days=1), (2011, 12, 31)),
    ],
)
def test_back_to_a_day_that_the_zone_skipped_is_the_day_before(
    day: tuple[int, int, int], span: Span, expected: tuple[int, int, int]
) -> None:
    zone = "Pacific/Apia"
    for clock in ((0, 0), (9, 30)):
        assert back(at(zone, *day, *clock), span, zone) == at(zone, *expected, *clock)


def test_days_are_counted_by_the_zone() -> None:
    zone = "Europe/Oslo"
    march = at(zone, 2025, 3, 1)
    for day in range(1, 32):
        assert days_between(march, at(zone, 2025, 3, day), zone) == day - 1
        assert after_days(march, day - 1, zone) == at(zone, 2025, 3, day)
    assert days_between(march, at(zone, 2025, 4, 1), zone) == 31
    # The 30th has 23 hours: at 13:30 by the clocks it is half over.
    noon = at(zone, 2025, 3, 30, 12, 30)
    assert days_between(march, noon, zone) == 29.5
    assert after_days(march, 29.5, zone) == noon
    apia = at("Pacific/Apia", 2011, 12, 1)
    assert days_between(apia, at("Pacific/Apia", 2012, 1, 1), "Pacific/Apia") == 30
