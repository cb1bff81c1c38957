"""What each kind answers, on series whose answer is plain."""

from __future__ import annotations

import math
import random
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.history.calendar_spans import Span, after_days, back, days_between
from agent.core.history.change import Change
from agent.core.history.forecast import Breach
from agent.core.history.pace import Pace
from agent.core.history.seasonal import FARTHEST, SeasonalAnomaly
from agent.core.history.trend import Run, Trend
from agent.core.model.window_history import INCIDENT, MAINTENANCE, Item, WindowHistory
from agent.core.model.windows import CalendarWindow, FixedWindow, Window
from tests.core.history.looks import DAY, DAYS, HOUR, HOURS, MONDAY, look

WEEK = 7 * DAY
LONDON = "Europe/London"


def at(zone: str, *parts: int) -> int:
    return round(datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp() * 1000)  # type: ignore[misc, arg-type]


# --- change


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


# --- trend


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


# --- season


def weekly(weeks: int, seed: int = 1) -> list[float | None]:
    """Hours of weeks: busy by day, quiet at night and on Sundays."""
    noise = random.Random(seed)
    return [
        100 + (80 if 8 <= hour % 24 < 18 else 0) - (50 if hour // 24 % 7 == 6 else 0)
        + noise.gauss(0, 3)
        for hour in range(weeks * 168)
    ]  # fmt: skip


def test_an_anomaly_is_what_the_hour_of_the_week_does_not_know() -> None:
    odd = SeasonalAnomaly("", "week", 5 * WEEK, "UTC")
    usual = weekly(6)
    noon = 5 * 168 + 12  # on a Monday
    sunday = 5 * 168 + 6 * 24 + 12
    assert (odd.compute(look(usual[: noon + 1], HOURS)) or 9) < 4
    # What Sundays do at noon is far off on a Monday, and the other way round.
    assert (odd.compute(look([*usual[:noon], usual[sunday]], HOURS)) or 0) > 8
    assert (odd.compute(look([*usual[:sunday], usual[noon]], HOURS)) or 0) > 8
    assert odd.compute(look(usual[: 2 * 168], HOURS)) is None  # two weeks are no baseline
    assert odd.compute(look([*usual[:noon], None], HOURS)) is None


def test_a_baseline_leaves_out_maintenance_and_past_incidents() -> None:
    odd = SeasonalAnomaly("", "day", 10 * DAY, "UTC")
    values: list[float | None] = [100.0 + i % 3 for i in range(10 * 24)]
    flags = [0] * len(values)
    for i in range(len(values)):
        if i % 24 == 23 and i // 24 < 6:
            values[i], flags[i] = 500.0, MAINTENANCE
    assert (odd.compute(look([*values[:-1], 500.0], HOURS, flags=flags)) or 0) > 8
    incident = [INCIDENT if flag else 0 for flag in flags]
    assert (odd.compute(look([*values[:-1], 500.0], HOURS, flags=incident)) or 0) > 8
    # What has been so for more than half of the past is the new normal.
    lasting = [INCIDENT if i >= 24 else 0 for i in range(len(values))]
    high: list[float | None] = [100.0] * 24 + [500.0] * (len(values) - 24)
    assert odd.compute(look(high, HOURS, flags=lasting)) == 0.0


def test_what_never_differed_is_far_off_by_a_finite_number() -> None:
    odd = SeasonalAnomaly("", "day", 10 * DAY, "UTC")
    flat: list[float | None] = [0.0] * 200
    assert odd.compute(look(flat, HOURS)) == 0.0
    assert odd.compute(look([*flat, 1.0], HOURS)) == FARTHEST


def test_the_usual_spread_of_a_day_is_that_of_its_morning() -> None:
    odd = SeasonalAnomaly("", "day", 10 * DAY, "UTC")
    values = weekly(2)
    kept: dict[str, object] = {}
    for count in range(150, len(values) + 1):
        fresh = odd.compute(look(values[:count], HOURS))
        assert odd.compute(look(values[:count], HOURS, memory=kept)) == fresh


# --- forecast


def test_a_breach_is_foreseen_by_trend() -> None:
    falling = [100.0 - i for i in range(21)]  # 80 now, and a day later 79
    soon = Breach("", 3 * DAY, 20 * DAY, None, None, "UTC")
    assert soon.compute(look(falling, target=(78.0, None))) == 1
    assert soon.compute(look(falling, target=(76.0, None))) == 0
    assert soon.compute(look(falling, target=(None, 120.0))) == 0
    assert soon.compute(look([*falling, 200.0], target=(None, 120.0))) == 1  # it is there already
    assert soon.compute(look(falling)) is None
    assert Breach("", 3 * DAY, 20 * DAY, None, (78.0, None), "UTC").compute(look(falling)) == 1
    assert soon.compute(look(falling[:3], target=(78.0, None))) is None


def test_a_breach_is_foreseen_by_season() -> None:
    usual = weekly(6)
    night = look(usual[: 5 * 168 + 3], HOURS, target=(None, 150.0))  # Monday, three at night
    by_season = Breach("", 12 * HOUR, 5 * WEEK, "week", None, "UTC")
    by_trend = Breach("", 12 * HOUR, 5 * WEEK, None, None, "UTC")
    assert by_season.compute(night) == 1  # Monday's noon will be over it
    assert by_trend.compute(night) == 0
    sunday = look(usual[: 4 * 168 + 6 * 24 + 3], HOURS, target=(None, 150.0))
    assert by_season.compute(sunday) == 0


# --- pace


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


# --- what they look at

items = st.lists(
    st.tuples(st.integers(1, 50), st.none() | st.floats(-9, 9), st.integers(0, 9)), max_size=300
)


@given(items, st.data())
def test_a_past_is_a_list_of_windows(
    given_: list[tuple[int, float | None, int]], data: st.DataObject
) -> None:
    past, plain, end = WindowHistory(), list[Item](), 0
    for step, value, events in given_:
        end += step
        past.append((end, value, events, 0))
        plain.append((end, value, events, 0))
        if data.draw(st.booleans()) and len(plain) > 5:
            oldest = plain[len(plain) // 2][0]
            past.drop_before(oldest)
            plain = [item for item in plain if item[0] >= oldest]
    assert past.ends.tolist() == [item[0] for item in plain]
    assert [None if math.isnan(v) else v for v in past.values] == [item[1] for item in plain]
    assert past.events.tolist() == [item[2] for item in plain]
    middle = end // 2
    assert past.upto(middle).ends.tolist() == [item[0] for item in plain if item[0] <= middle]
    assert WindowHistory(plain[::-1] + plain).ends.tolist() == past.ends.tolist()


def test_days_and_weeks_begin_in_their_zone() -> None:
    odd = SeasonalAnomaly("", "week", 4 * WEEK, "Asia/Tokyo")
    assert odd.needs_ms(DAYS) == 4 * WEEK + 2 * DAY + HOUR
    assert MONDAY % WEEK == 4 * DAY
