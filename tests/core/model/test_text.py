"""How values, targets and windows are said to people."""

from __future__ import annotations

import pytest

from agent.core.model.kpis import Target
from agent.core.model.text import (
    bounds_text,
    duration,
    target_text,
    value_text,
    window_text,
    window_words,
)
from agent.core.model.windows import CalendarWindow, FixedWindow
from agent.export.web.shown import dimension_text
from agent.language.models import durations


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "seconds", "0 s"),
        (0.0000042, "seconds", "4.20 µs"),
        (0.34, "seconds", "340 ms"),
        (0.9999, "seconds", "1 s"),
        (12.44, "seconds", "12.4 s"),
        (59.96, "seconds", "1 min"),
        (200, "seconds", "3 min 20 s"),
        (-200, "seconds", "−3 min 20 s"),
        (3599.7, "seconds", "1 h"),
        (7500, "seconds", "2 h 5 min"),
        (86_399, "seconds", "1 d"),
        (273_600, "seconds", "3 d 4 h"),
        (1500, "milliseconds", "1.5 s"),
        (35.88, "minutes", "35 min 53 s"),
        (0.842, "ratio", "84.2 %"),
        (0.97, "ratio", "97 %"),
        (0.0042, "ratio", "0.42 %"),
        (-0.05, "ratio", "−5 %"),
        (0, "ratio", "0 %"),
        (12.5, "percent", "12.5 %"),
        (861.2, "gbp", "£861.20"),
        (900, "gbp", "£900"),
        (12_840.5, "gbp", "£12,840"),
        (-1_284_301, "eur", "−€1.28 M"),
        (17, "chf", "CHF 17"),
        (1536, "bytes", "1.50 KiB"),
        (3.1, "tasks", "3.10 tasks"),
        (1, "tasks", "1 task"),
        (-1, "tasks", "−1 task"),
        (0.9996, "tasks", "1.00 tasks"),
        (1_000_000, "tasks", "1.00 M tasks"),
        (1, "meses", "1 meses"),
        (4.5, "tasks_per_employee", "4.50 tasks per employee"),
        (1, "open_tasks_per_employee", "1 open task per employee"),
        (512, None, "512"),
        (512, "count", "512"),
        (1_999_999, None, "2.00 M"),
        (999_999, None, "1.00 M"),
        (0.0421, None, "0.0421"),
        (1e-12, None, "0"),
        (-0.4, None, "−0.4"),
        (None, "seconds", "–"),
        (float("nan"), None, "–"),
        (float("inf"), "ratio", "–"),
    ],
)
def test_a_value_is_said_with_its_unit(
    value: float | None, unit: str | None, expected: str
) -> None:
    assert value_text(value, unit) == expected


@pytest.mark.parametrize(
    ("target", "unit", "expected"),
    [
        (Target(at_most=240, warn_at_most=200), "seconds", "at most 4 min, warn above 3 min 20 s"),
        (Target(at_most=240), "seconds", "at most 4 min"),
        (Target(at_least=0.95, warn_at_least=0.97), "ratio", "at least 95 %, warn below 97 %"),
        (Target(at_most=1), "tasks", "at most 1 task"),
        (Target(at_least=4.2), "stars", "at least 4.2 stars"),
        (Target(at_least=900.5), "gbp", "at least £900.50"),
        (Target(at_least=1, at_most=3), None, "between 1 and 3"),
        (
            Target(at_least=1, at_most=3, warn_at_least=1.5, warn_at_most=2.5),
            None,
            "between 1 and 3, warn outside 1.5 to 2.5",
        ),
        (None, None, ""),
    ],
)
def test_a_target_is_said_in_words(target: Target | None, unit: str | None, expected: str) -> None:
    assert target_text(target, unit) == expected


@pytest.mark.parametrize(
    ("window", "yaml", "words"),
    [
        (FixedWindow(300_000, 60_000), "5m every 1m", "5 min, every 1 min"),
        (FixedWindow(3_600_000, 3_600_000), "1h", "each 1 h"),
        (FixedWindow(5_400_000, 5_400_000), "1h30m", "each 1 h 30 min"),
        (FixedWindow(500, 500), "500ms", "each 500 ms"),
        (
            CalendarWindow("day", "Europe/London"),
            "day in Europe/London",
            "each day in Europe/London",
        ),
    ],
)
def test_a_window_is_said_as_yaml_and_in_words(
    window: FixedWindow | CalendarWindow, yaml: str, words: str
) -> None:
    assert (window_text(window), window_words(window)) == (yaml, words)


def test_dimensions_are_said_so_that_none_is_empty() -> None:
    said = [dimension_text(d) for d in (None, "", "__other__", True, 7, "emea")]
    assert said == ["none", "(empty)", "all others", "true", "7", "emea"]


def test_a_duration_is_the_same_everywhere_that_rules_write_it() -> None:
    week = 7 * 86_400_000
    assert duration(week) == durations.show(week) == "1w"
    assert window_text(FixedWindow(week, 86_400_000)) == "1w every 1d"
    assert [duration(ms) for ms in (0, 1, 5_400_000, week + 1000)] == ["0s", "1ms", "1h30m", "1w1s"]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target(at_most=240, warn_at_most=200), "at_most 240, warn 200"),
        (Target(at_least=0.1, at_most=0.9, warn_at_least=0.2, warn_at_most=0.8),
         "between 0.1 and 0.9, warn 0.2 and 0.8"),
        (Target(kpis=(("at_least", "last_year"),)), "at_least kpi(last_year)"),
    ],
)  # fmt: skip
def test_bounds_are_as_rules_write_them(target: Target, text: str) -> None:
    assert bounds_text(target) == text
