"""Small inputs that once gave wrong values: `kpi-agent replay` over each folder of `cases`.

What is right was worked out by hand; each case is the smallest of its kind.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main

CASES = Path(__file__).parent / "cases"
Lines = list[dict[str, Any]]


@pytest.fixture
def lines(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Lines:
    """What replay says of the case that the test names."""
    folder = CASES / request.param
    events = sorted(str(path) for path in folder.glob("*.ndjson"))
    rules = str(folder / "rules.yaml")
    assert main(["replay", "--rules", rules, *events, "--format", "json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]


def case(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("lines", [name], indirect=True)


def windows(lines: Lines, kpi: str) -> dict[str, float | None]:
    """The values of a KPI by dimensions and start of the window, open ones included."""
    return {
        " ".join([*line["dimensions"].values(), line["start"]]): line["value"]
        for line in lines
        if line["kind"] == "window" and line["kpi"] == kpi
    }


def fired(lines: Lines) -> set[tuple[str, str]]:
    """Which rules fire, and when."""
    steps = [line for line in lines if line["kind"] == "rule" and line["state"] == "firing"]
    return {(line["rule"], line["at"]) for line in steps}


def targets(lines: Lines) -> list[tuple[str, float]]:
    """State and attainment of each closed window."""
    return [(line["state"], line["attainment"]) for line in lines if line["kind"] == "target"]


def outcomes(lines: Lines) -> dict[str, int]:
    """How many records had each outcome."""
    return {name: count for name, count in lines[-1]["outcomes"].items() if count}


@case("quantile")
def test_the_median_of_three_times_28_is_28(lines: Lines) -> None:
    assert set(windows(lines, "p50").values()) == {28}
    assert targets(lines) == [("met", 1)]
    assert not fired(lines)


@case("grain")
def test_a_record_counts_where_its_window_is_open_whatever_other_kpis_there_are(
    lines: Lines,
) -> None:
    assert windows(lines, "daily") == {"2025-03-03T00:00:00Z": 102}
    assert outcomes(lines) == {"folded": 3}
    assert lines[-1]["late_by_kpi"] == {"pulse": 1}


@case("stddev")
def test_equal_values_do_not_deviate(lines: Lines) -> None:
    assert windows(lines, "sd") == {"2025-03-03T09:00:00Z": 0}
    assert windows(lines, "stuck") == {"2025-03-03T09:00:00Z": 1}  # stddev(x) = 0


@case("overflow")
def test_a_series_over_the_limit_of_an_input_has_no_ratio_and_not_zero(lines: Lines) -> None:
    conversion = windows(lines, "conversion")
    assert conversion["a 2025-03-03T09:00:00Z"] == 1
    assert conversion["c 2025-03-03T09:00:00Z"] is None
    assert not fired(lines)


@case("fallback")
def test_every_event_of_the_hour_that_comes_twice_counts_in_its_own(lines: Lines) -> None:
    hourly = windows(lines, "hourly")
    assert hourly["2024-10-27T00:00:00Z"] == hourly["2024-10-27T01:00:00Z"] == 4
    assert outcomes(lines) == {"folded": 12}


@case("pace")
def test_a_week_with_a_clock_change_is_on_pace(lines: Lines) -> None:
    assert len(windows(lines, "sales")) == 30
    assert not fired(lines)


@case("attain")
def test_attainment_never_rises_as_defects_do(lines: Lines) -> None:
    assert list(windows(lines, "defects").values()) == [0, 1, 5, 0]
    reached = [attainment for _, attainment in targets(lines)]
    assert reached == sorted(reached, reverse=True)


@case("tz")
def test_a_day_of_24_hours_is_warned_of_where_a_zone_has_days(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(windows(lines, "a")) == {"2025-03-02T00:00:00Z"}  # 1d: of UTC
    assert set(windows(lines, "b")) == {"2025-03-01T18:15:00Z", "2025-03-02T18:15:00Z"}  # day
    main(["check", str(CASES / "tz")])
    assert "write `day`" in capsys.readouterr().out


@pytest.mark.timeout(60)
@case("epoch")
def test_the_time_between_1970_and_today_costs_nothing(lines: Lines) -> None:
    filled = {start: value for start, value in windows(lines, "n").items() if value}
    assert filled == dict.fromkeys(
        ["1970-01-01T00:00:00Z", "2025-03-03T09:00:00Z", "2025-03-03T09:30:00Z"], 1
    )


@case("monrovia")
def test_a_day_may_begin_at_a_second_of_its_own(lines: Lines) -> None:
    assert windows(lines, "d") == {"1972-01-06T00:44:30Z": 1}


@case("backtest_two_topics")
def test_a_topic_that_has_ended_holds_no_window_open(lines: Lines) -> None:
    assert windows(lines, "net") == {
        "2025-03-03T09:00:00Z": 19,
        "2025-03-03T09:10:00Z": 20,
        **{f"2025-03-03T09:{minute}:00Z": 2 for minute in (20, 30, 40, 50)},
    }
    assert fired(lines) == {
        ("poor", "2025-03-03T09:30:00Z"),
        ("poor_direct", "2025-03-03T09:30:00Z"),
    }
