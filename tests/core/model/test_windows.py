"""Windows: whole, without gap or overlap, and where a person with a calendar would put them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model.windows import (
    MAX_SLICE_MS,
    CalendarWindow,
    FixedWindow,
    Window,
    current_slice_ms,
    ends_between,
    largest_divisor,
    previous_start,
)

MINUTE = 60_000
HOUR = 60 * MINUTE
ZONES = [
    "UTC", "Europe/London", "America/Sao_Paulo", "America/St_Johns", "America/Havana",
    "Australia/Lord_Howe", "Asia/Kathmandu",
]  # fmt: skip
CALENDAR = st.builds(
    CalendarWindow,
    st.sampled_from(["day", "week", "month", "quarter", "year"]),
    st.sampled_from(ZONES),
)
FIXED = st.builds(
    lambda hop, times: FixedWindow(hop * 1000 * times, hop * 1000),
    st.sampled_from([1, 7, 30, 60, 420, 3600, 86_400]),
    st.integers(1, 6),
)
INSTANTS = st.integers(
    int(datetime(1995, 1, 1, tzinfo=UTC).timestamp() * 1000),
    int(datetime(2035, 1, 1, tzinfo=UTC).timestamp() * 1000),
)


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@given(CALENDAR | FIXED, INSTANTS)
def test_every_instant_lies_in_the_windows_that_end_after_it(window: Window, at: int) -> None:
    end = window.first_end_after(at)
    assert window.start_of(end) <= at < end
    assert window.first_end_after(end - 1) == end
    last = window.last_end_over(at)
    assert window.start_of(last) <= at < last


@given(CALENDAR | FIXED, INSTANTS)
def test_the_ends_of_windows_are_slice_boundaries_and_panes_tile_them(
    window: Window, at: int
) -> None:
    end = window.first_end_after(at)
    assert end % window.slice_ms == 0
    assert window.start_of(end) % window.slice_ms == 0
    assert window.pane_start(window.start_of(end)) == window.start_of(end)
    assert window.pane_start(at) <= at


@given(CALENDAR, INSTANTS)
def test_periods_follow_one_another(window: CalendarWindow, at: int) -> None:
    end = window.first_end_after(at)
    after = window.first_end_after(end)
    assert window.start_of(after) == end
    assert previous_start(window, after) == window.start_of(end)
    assert list(ends_between(window, at, after)) == [end, after]


@pytest.mark.parametrize(
    ("zone", "inside", "start", "end", "hours"),
    [
        ("Europe/London", "2024-03-31T12:00", "2024-03-31T00:00", "2024-03-31T23:00", 23),
        ("Europe/London", "2024-10-27T12:00", "2024-10-26T23:00", "2024-10-28T00:00", 25),
        # midnight itself is skipped: the day begins with the change
        ("America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T03:00", "2018-11-05T02:00", 23),
        ("Asia/Kathmandu", "2024-05-01T12:00", "2024-04-30T18:15", "2024-05-01T18:15", 24),
    ],
)
def test_a_day_is_as_long_as_the_zone_says(
    zone: str, inside: str, start: str, end: str, hours: int
) -> None:
    day = CalendarWindow("day", zone)
    assert day.first_end_after(utc(inside)) == utc(end)
    assert day.start_of(utc(end)) == utc(start)
    assert utc(end) - utc(start) == hours * HOUR


def test_a_day_that_began_goes_on_though_clocks_go_back_over_midnight() -> None:
    """Newfoundland, 2010-11-07: at 00:01 clocks went back to 23:01 of the day before."""
    day = CalendarWindow("day", "America/St_Johns")
    began = utc("2010-11-07T02:30")
    again = utc("2010-11-07T02:45")  # 23:15 of the 6th, once more
    assert datetime.fromtimestamp(again / 1000, ZoneInfo("America/St_Johns")).day == 6
    assert day.pane_start(again) == began
    assert day.first_end_after(began - 1) == began


def test_a_day_of_a_zone_with_seconds_in_its_offset_ends_where_the_next_begins() -> None:
    """Liberia was 44 min 30 s behind UTC until 1972-01-07, when its clocks skipped midnight."""
    day = CalendarWindow("day", "Africa/Monrovia")
    start, end = (int(utc(f"1972-01-0{d}T00:44") + 30_000) for d in (6, 7))
    assert day.pane_start(utc("1972-01-06T12:00")) == start
    assert day.first_end_after(start) == end
    assert day.pane_start(end) == end
    assert day.first_end_after(end) == utc("1972-01-08T00:00")
    assert start % day.slice_ms == end % day.slice_ms == 0
    assert CalendarWindow("day", "Europe/Oslo").slice_ms == MAX_SLICE_MS


def test_a_day_that_a_zone_skipped_is_no_window() -> None:
    """Samoa went from the 29th to the 31st of December 2011."""
    day = CalendarWindow("day", "Pacific/Apia")
    skipped = utc("2011-12-30T10:00")
    assert day.first_end_after(skipped - 1) == skipped
    assert day.pane_start(skipped) == skipped
    assert day.first_end_after(skipped) == skipped + 24 * HOUR


def test_weeks_begin_on_monday_and_quarters_in_january() -> None:
    week = CalendarWindow("week", "UTC")
    assert week.pane_start(utc("2024-01-03T00:00")) == utc("2024-01-01T00:00")
    quarter = CalendarWindow("quarter", "UTC")
    assert quarter.first_end_after(utc("2024-02-29T23:59")) == utc("2024-04-01T00:00")


def test_hopping_windows_overlap_and_end_at_every_hop() -> None:
    window = FixedWindow(5 * MINUTE, MINUTE)
    at = utc("2024-01-01T12:00:30")
    ends = list(ends_between(window, at, window.last_end_over(at)))
    assert ends == [utc(f"2024-01-01T12:0{m}") for m in range(1, 6)]
    assert all(window.start_of(end) <= at < end for end in ends)


def test_slices_are_at_most_five_minutes_and_divide_the_pane() -> None:
    assert FixedWindow(60_000, 60_000).slice_ms == 60_000
    assert FixedWindow(90 * MINUTE, 30 * MINUTE).slice_ms == MAX_SLICE_MS
    assert FixedWindow(7 * MINUTE, 7 * MINUTE).slice_ms == 210_000
    assert CalendarWindow("month", "UTC").slice_ms == MAX_SLICE_MS
    assert largest_divisor(301_000, MAX_SLICE_MS) == 150_500


def test_current_values_are_evaluated_about_ten_times_a_window() -> None:
    assert current_slice_ms(FixedWindow(60_000, 60_000)) == 6_000
    assert current_slice_ms(FixedWindow(5_000, 5_000)) == 1_000
    assert current_slice_ms(FixedWindow(HOUR, HOUR)) == MAX_SLICE_MS
