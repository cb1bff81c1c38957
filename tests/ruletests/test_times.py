"""Times of a test: of the clock, since the start, or with a date; never guessed."""

from datetime import UTC, datetime

import pytest

from agent.ruletests.times import TimeError, clock_of


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("10:05", "2026-07-06T09:05"),
        ("9:05:30", "2026-07-06T08:05:30"),
        ("10:05:30.25", "2026-07-06T09:05:30.250"),
        ("10:05Z", "2026-07-06T10:05"),
        ("+1h30m", "2026-07-06T10:30"),
        ("2026-07-08", "2026-07-07T23:00"),
        ("2026-12-24 10:05", "2026-12-24T10:05"),
        ("2026-12-24T10:05+01:00", "2026-12-24T09:05"),
    ],
)
def test_a_time_is_read_in_the_zone_and_on_the_day_of_the_test(text: str, instant: str) -> None:
    assert clock_of("Europe/London", "2026-07-06 10:00").read(text) == utc(instant)


def test_a_test_without_a_start_begins_on_the_first_monday_of_2024() -> None:
    assert clock_of("UTC", None).start_ms == utc("2024-01-01")
    assert clock_of("UTC", "10:00").start_ms == utc("2024-01-01T10:00")


@pytest.mark.parametrize(
    "text", ["", "10", "10:65", "25:00", "2026-02-30", "2026-03-01Z", "+5", "soon"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TimeError):
        clock_of("UTC", None).read(text)


def test_a_time_that_the_clocks_skip_is_refused() -> None:
    with pytest.raises(TimeError, match="does not exist in Europe/London"):
        clock_of("Europe/London", "2026-03-29").read("01:30")


def test_a_time_that_comes_twice_must_say_which() -> None:
    clock = clock_of("Europe/London", "2026-10-25")
    with pytest.raises(TimeError, match="happens twice") as error:
        clock.read("01:30")
    assert error.value.hint == "write 2026-10-25 01:30+01:00 or 2026-10-25 01:30+00:00"
    assert clock.read("01:30+01:00") == utc("2026-10-25T00:30")
    assert clock.read("2026-10-25 01:30+00:00") == utc("2026-10-25T01:30")


@pytest.mark.parametrize("text", ["10:05", "01:30+01:00", "01:30+00:00", "2026-10-26 00:00"])
def test_what_is_shown_reads_back(text: str) -> None:
    clock = clock_of("Europe/London", "2026-10-25")
    assert clock.show(clock.read(text)) == text
