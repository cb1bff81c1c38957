"""Schedules against a plain reading of a zone's clock, minute by minute; holidays against what is
published of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from govuk_bank_holidays.bank_holidays import BankHolidays
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model.schedules import (
    EVERY_DAY,
    Days,
    HolidayDays,
    MonthDays,
    Period,
    Schedule,
    Weekdays,
    YearDays,
)
from agent.core.model.text import schedule_text
from agent.core.model.windows import wall_clock_ms

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SUNDAY = Weekdays(frozenset({6}))

# Weeks in which clocks change, by the zone: the change lies about in the middle.
CHANGES = {
    "UTC": "2026-03-29", "Europe/London": "2026-03-29", "Europe/Oslo": "2026-10-25",
    "America/Havana": "2026-11-01",     # back from 01:00 to midnight
    "America/Sao_Paulo": "2018-02-18",  # back from midnight to 23:00 of the day before
    "Asia/Beirut": "2022-03-27",        # forward from midnight: the day begins at 01:00
    "Australia/Lord_Howe": "2026-04-05",  # by half an hour
    "Pacific/Apia": "2011-12-30",       # a day that there never was
}  # fmt: skip


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@cache
def shown(zone: str, at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)).replace(tzinfo=None)


def iso(zone: str, periods: Sequence[Period]) -> list[tuple[str, str]]:
    return [(shown(zone, a).isoformat("T", "minutes"), shown(zone, b).isoformat("T", "minutes"))
            for a, b in periods]  # fmt: skip


days = st.one_of(
    st.builds(Weekdays, st.frozensets(st.integers(0, 6), min_size=1)),
    st.builds(
        MonthDays,
        st.frozensets(st.integers(1, 31) | st.just(-1), min_size=1),
        st.frozensets(
            st.tuples(st.sampled_from([1, 2, 3, 4, 5, -1]), st.integers(0, 6)), max_size=2
        ),
    ),
    st.builds(
        YearDays,
        st.frozensets(st.tuples(st.integers(1, 12), st.integers(1, 28)), min_size=60),
    ),
)
hours = st.tuples(st.integers(0, 24 * 12 - 1).map(lambda n: 5 * n), st.integers(1, 60 * 50)) | (
    st.just((None, 0))
)


@cache
def plain_has(days_: Days, day: date) -> bool:
    """What the words say, by counting through the month."""
    if isinstance(days_, Weekdays):
        return day.weekday() in days_.days
    if isinstance(days_, YearDays):
        return (day.month, day.day) in days_.days
    assert isinstance(days_, MonthDays)
    month = [day.replace(day=1)]
    while (month[-1] + timedelta(days=1)).month == day.month:
        month.append(month[-1] + timedelta(days=1))
    chosen = {d for d in month if d.day in days_.numbers}
    if -1 in days_.numbers:
        chosen.add(month[-1])
    for n, weekday in days_.weekdays:
        same = [d for d in month if d.weekday() == weekday]
        chosen.update(same[n - 1 : n] if n > 0 else same[n:][:1])
    return day in chosen


def plain_minutes(schedule: Schedule, first_ms: int, last_ms: int) -> list[bool]:
    """Whether each minute of `[first, last)` is within a schedule, by looking at the clock."""
    zone, days_ = schedule.timezone, schedule.days
    assert days_ is not None
    before = 4 * DAY  # longer than any `for` here, and a day
    minutes = range(first_ms - before, last_ms, MINUTE)
    inside = dict.fromkeys(minutes, False)
    if schedule.at_minutes is None:
        for at in minutes:
            inside[at] = plain_has(days_, shown(zone, at).date())
    else:
        day = shown(zone, minutes[0]).date()
        clock = [shown(zone, at) for at in minutes]
        newest = clock[0]
        for at, now in zip(minutes, clock, strict=True):
            newest = max(newest, now)
            # The first minute whose clock shows the hour, or has gone past it.
            while day <= newest.date():
                wanted = datetime(day.year, day.month, day.day)
                wanted += timedelta(minutes=schedule.at_minutes)
                if wanted > newest:
                    break
                if wanted > clock[0] and plain_has(days_, day):
                    for minute in range(at, min(at + schedule.for_ms, last_ms), MINUTE):
                        inside[minute] = True
                day += timedelta(days=1)
    low = -(2**62) if schedule.from_ms is None else schedule.from_ms
    high = 2**62 if schedule.until_ms is None else schedule.until_ms
    return [inside[at] and low <= at < high for at in range(first_ms, last_ms, MINUTE)]


@given(
    st.sampled_from(sorted(CHANGES)),
    st.integers(-2, 1),
    days,
    hours,
    st.none() | st.integers(0, 4000),
    st.none() | st.integers(3000, 9000),
)
def test_a_schedule_is_what_a_look_at_the_clock_says_each_minute(
    zone: str,
    shift: int,
    days_: Days,
    at_and_for: tuple[int | None, int],
    low: int | None,
    high: int | None,
) -> None:
    first = utc(CHANGES[zone]) + shift * DAY
    last = first + 4 * DAY
    at, length = at_and_for
    schedule = Schedule(
        zone,
        days_,
        at,
        length * MINUTE,
        None if low is None else first + low * MINUTE,
        None if high is None else first + high * MINUTE,
    )
    periods = list(schedule.periods(first, last))
    assert periods == sorted(periods)
    assert all(a < last and first < b for a, b in periods)
    mine = [any(a <= m < b for a, b in periods) for m in range(first, last, MINUTE)]
    assert mine == plain_minutes(schedule, first, last)


@given(days, hours, st.integers(utc("2024-01-01"), utc("2028-01-01")), st.integers(1, 90 * DAY))
def test_asking_of_a_part_gives_the_periods_of_the_whole_that_overlap_it(
    days_: Days, at_and_for: tuple[int | None, int], start: int, span: int
) -> None:
    schedule = Schedule("Europe/London", days_, at_and_for[0], at_and_for[1] * MINUTE)
    whole = schedule.periods(utc("2023-06-01"), utc("2029-01-01"))
    wanted = [p for p in whole if p[0] < start + span and p[1] > start]
    assert list(schedule.periods(start, start + span)) == wanted
    assert schedule.first(start, start + span) == (wanted[0] if wanted else None)


def test_four_hours_are_four_hours_in_the_nights_that_clocks_change() -> None:
    night = Schedule("Europe/London", SUNDAY, 60, 4 * HOUR)
    spring = night.periods(utc("2026-03-28T12:00"), utc("2026-03-29T12:00"))
    # 01:00 is skipped: it begins with the change, when clocks show 02:00.
    assert iso("Europe/London", list(spring)) == [("2026-03-29T02:00", "2026-03-29T06:00")]
    autumn = night.periods(utc("2026-10-24T12:00"), utc("2026-10-25T12:00"))
    # 01:00 comes twice: it begins with the first, and clocks show 04:00 four hours later.
    assert iso("Europe/London", list(autumn)) == [("2026-10-25T01:00", "2026-10-25T04:00")]


def test_whole_days_have_23_and_25_hours_where_clocks_change() -> None:
    sundays = Schedule("Europe/Oslo", SUNDAY)
    lengths = {
        text: [(b - a) // HOUR for a, b in sundays.periods(utc(text), utc(text) + HOUR)]
        for text in ("2026-03-29T12:00", "2026-10-25T12:00", "2026-11-01T12:00")
    }
    assert list(lengths.values()) == [[23], [25], [24]]


def test_days_that_touch_are_one_period() -> None:
    weekend = Schedule("UTC", Weekdays(frozenset({5, 6})))
    periods = list(weekend.periods(utc("2026-11-23"), utc("2026-11-30")))
    assert iso("UTC", periods) == [("2026-11-28T00:00", "2026-11-30T00:00")]


def test_a_night_goes_on_into_the_new_year() -> None:
    nights = Schedule("UTC", EVERY_DAY, 23 * 60, 3 * HOUR)
    assert nights.first(utc("2027-01-01T01:00"), utc("2027-01-01T01:01")) == (
        utc("2026-12-31T23:00"),
        utc("2027-01-01T02:00"),
    )


def test_once_is_from_one_instant_until_another() -> None:
    once = Schedule("UTC", from_ms=1000, until_ms=2000)
    assert [once.first(a, b) for a, b in [(0, 1000), (0, 1001), (1999, 3000), (2000, 3000)]] == [
        None,
        (1000, 2000),
        (1000, 2000),
        None,
    ]


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        ("Europe/London", "2026-03-29T01:30", "2026-03-29T01:00"),  # skipped: the change
        ("Europe/London", "2026-10-25T01:30", "2026-10-25T00:30"),  # twice: the first
        ("Pacific/Apia", "2011-12-30T18:00", "2011-12-30T10:00"),  # a day that never was
        ("Asia/Kathmandu", "2026-01-01T00:00", "2025-12-31T18:15"),
    ],
)
def test_the_instant_at_which_clocks_show_a_time(zone: str, local: str, instant: str) -> None:
    assert wall_clock_ms(zone, datetime.fromisoformat(local)) == utc(instant)


# Holidays.

# Proclaimed (for the football World Cup) after the copy that the package carries was made.
NEWER = {"SCT": {date(2026, 6, 15)}}


@pytest.mark.parametrize(
    ("part", "published"),
    [("ENG", "england-and-wales"), ("SCT", "scotland"), ("NIR", "northern-ireland")],
)
def test_the_holidays_are_those_that_gov_uk_publishes(part: str, published: str) -> None:
    # The copy that the package carries: nothing is fetched.
    reported = BankHolidays(use_cached_holidays=True).get_holidays(division=published)
    wanted = {holiday["date"] for holiday in reported} | NEWER.get(part, set())
    years = sorted({day.year for day in wanted})
    assert len(wanted) > 8 * 5 and len(years) > 5
    holidays = HolidayDays("GB", part)
    first, last = date(years[0], 1, 1), date(years[-1], 12, 31)
    every = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    days = {day for day in every if holidays.has(day)}
    # The library also has the weekend days that a day off is given in the place of.
    assert {d for d in days if d.weekday() < 5} == {d for d in wanted if d.weekday() < 5}
    assert wanted <= days


def test_a_day_off_may_lie_in_the_year_before_its_holiday() -> None:
    # New Year's Day of 2022 was a Saturday; federal offices closed on Friday, 31 December 2021
    # (opm.gov, "2021 holiday schedule").
    assert HolidayDays("US").has(date(2021, 12, 31))


# Words.


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Schedule("UTC", EVERY_DAY, 150, HOUR), "every day at 02:30 for 1h in UTC"),
        (Schedule("Europe/Oslo", Weekdays(frozenset({6, 5}))),
         "every week on saturday, sunday in Europe/Oslo"),
        (Schedule("UTC", MonthDays(frozenset({15, -1}), frozenset({(1, 6), (-1, 4)}))),
         "every month on 15, last day, last friday, first sunday in UTC"),
        (Schedule("UTC", YearDays(frozenset({(12, 24)})), from_ms=utc("2026-01-01")),
         "every year on 12-24 from 2026-01-01T00:00 in UTC"),
        (Schedule("Europe/London", HolidayDays("GB", "SCT")), "holidays GB-SCT in Europe/London"),
        (Schedule("Asia/Tokyo", from_ms=utc("2026-01-01"), until_ms=utc("2026-01-02")),
         "from 2026-01-01T09:00 until 2026-01-02T09:00 in Asia/Tokyo"),
    ],
)  # fmt: skip
def test_a_schedule_in_words_is_as_the_language_writes_it(schedule: Schedule, words: str) -> None:
    assert schedule_text(schedule) == words
