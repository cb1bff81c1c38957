"""When the series of a KPI have something to do; what lies between costs nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.merge.due_windows import SeriesTimer
from agent.core.model.windows import FixedWindow
from agent.core.state.series import Series
from tests.core.small_plans import MINUTE_MS, kpi

TEN = replace(kpi(), window=FixedWindow(10 * MINUTE_MS, 10 * MINUTE_MS))


def timer(current: bool, *began: float) -> tuple[SeriesTimer, list[Series]]:
    """The timer of windows of ten minutes in slices of one, with series that began then."""
    made = SeriesTimer(TEN, current)
    series = [Series.new("response_time", "", (str(i),), int(at * MINUTE_MS))
              for i, at in enumerate(began)]  # fmt: skip
    for each in series:
        made.add(each)
    return made, series


@pytest.mark.parametrize(
    ("current", "began", "due"),
    [
        (False, [], None),
        (False, [3], 10),
        (False, [13, 3], 10),
        (False, [10], 20),
        (True, [3], 4),  # the end of the slice
        (True, [9], 10),
    ],
)
def test_the_first_end_that_any_series_needs(
    current: bool, began: list[float], due: int | None
) -> None:
    made, _ = timer(current, *began)
    assert made.due_ms == (None if due is None else due * MINUTE_MS)


def test_after_windows_have_closed_the_next_end_is_due() -> None:
    made, series = timer(False, 3)
    series[0].close(10 * MINUTE_MS)
    made.advance(10 * MINUTE_MS, True, series)
    assert made.due_ms == 20 * MINUTE_MS


def test_where_no_series_had_anything_to_do_time_jumps_to_the_first_that_has() -> None:
    made, series = timer(False, 3)
    series[0].close(500 * MINUTE_MS)
    made.advance(10 * MINUTE_MS, False, series)
    assert made.due_ms == 510 * MINUTE_MS
    made.advance(10 * MINUTE_MS, False, [])
    assert made.due_ms is None


@pytest.mark.parametrize(
    ("current", "next_start", "frontier", "last"),
    [
        (False, None, 60, 1),  # only ends of windows count, one by one
        (True, None, 60, 10),  # to the end of the window
        (True, None, 7.5, 7),  # to the last slice that is settled
        (True, 4, 60, 4),  # to where the next slice with events begins
        (True, 0, 60, 1),
    ],
)
def test_how_long_every_window_stays_what_it_is(
    current: bool, next_start: int | None, frontier: float, last: int
) -> None:
    made, _ = timer(current, 0)
    next_ms = None if next_start is None else next_start * MINUTE_MS
    end_ms = made.last_same_ms(MINUTE_MS, next_ms, int(frontier * MINUTE_MS))
    assert end_ms == last * MINUTE_MS


@pytest.mark.parametrize(
    ("windows", "series", "slice_ends", "end"),
    [
        (1, 1, [], 10),
        (3, 1, [], 30),
        (3, 3, [], 10),
        (1_000, 1, [], 60),  # the frontier is nearer
        (1, 1, [4], 4),
        (2, 0, [4], 14),
    ],
)
def test_a_stride_closes_about_so_many_windows(
    windows: int, series: int, slice_ends: list[int], end: int
) -> None:
    made, _ = timer(False, *range(1, series + 1))
    ends_ms = [at * MINUTE_MS for at in slice_ends]
    end_ms = made.stride_end_ms(60 * MINUTE_MS, ends_ms, series, windows)
    assert end_ms == end * MINUTE_MS
