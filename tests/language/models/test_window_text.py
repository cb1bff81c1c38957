import re

import pytest
from pydantic_core import PydanticCustomError

from agent.core.model.windows import CalendarWindow, FixedWindow
from agent.language.models import durations


def test_windows_are_read() -> None:
    zone = "Europe/London"
    assert durations.parse_window("5m").compile(zone) == FixedWindow(300_000, 300_000)
    assert durations.parse_window("5m every 1m").compile(zone) == FixedWindow(300_000, 60_000)
    assert durations.parse_window("1d").compile(zone) == FixedWindow(86_400_000, 86_400_000)
    assert durations.parse_window("quarter").compile(zone) == CalendarWindow("quarter", zone)


@pytest.mark.parametrize("text", ["5m", "1h30m every 30m", "day", "week", "month", "year"])
def test_a_window_is_shown_as_it_is_written(text: str) -> None:
    assert str(durations.parse_window(text)) == text
    assert re.match(durations.WINDOW_PATTERN, text)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("monthly", "'monthly' is not a window", "did you mean 'month'?"),
        ("0s", "the window of 0s is too short", "the shortest is 1s"),
        ("5m every 0s", "the hop of 0s is too short", "the shortest is 1s"),
        ("1500ms", "windows and hops are whole seconds", "leave the milliseconds out"),
        ("7s every 2s", "the hop of 2s does not divide the window of 7s", "near it: 1s or 7s"),
    ],
)
def test_a_window_that_can_not_be_says_why(text: str, message: str, hint: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        durations.parse_window(text)
    assert caught.value.context == {"message": message, "hint": hint}
