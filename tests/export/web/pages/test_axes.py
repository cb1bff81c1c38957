"""Ticks of the axes: round, few, in people's units and in the zone that is named."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.export.web.pages.axes import TIME_TICKS, extent, time_ticks, value_ticks


@pytest.mark.parametrize(
    ("low", "high", "unit", "expected"),
    [
        (0.0, 600.0, "seconds", ["0 s", "2 min", "4 min", "6 min", "8 min", "10 min"]),
        (0.0, 0.2, "ratio", ["0 %", "5 %", "10 %", "15 %", "20 %"]),
        (0.0, 250.0, "orders", ["0 orders", "50 orders", "100 orders", "150 orders", "200 orders",
                                "250 orders"]),
    ],
)  # fmt: skip
def test_values_are_round_in_their_unit(
    low: float, high: float, unit: str, expected: list[str]
) -> None:
    assert [text for _, text in value_ticks(low, high, unit)] == expected


@given(
    st.floats(-1e12, 1e12), st.floats(1e-9, 1e12),
    st.sampled_from(["seconds", "ms", "ratio", "eur", "bytes", None]),
)  # fmt: skip
def test_any_axis_has_few_ticks_that_are_inside(low: float, span: float, unit: str | None) -> None:
    low, high = extent([low, low + span], [])
    ticks = value_ticks(low, high, unit)
    assert len(ticks) <= 16
    assert all(low - span <= value <= high + span for value, _ in ticks)


def test_a_bound_far_away_does_not_flatten_the_line() -> None:
    assert extent([10.0, 12.0], [1_000.0])[1] < 13
    assert extent([10.0, 12.0], [15.0])[1] > 15


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_times_are_those_of_the_zone_and_a_new_day_has_its_date() -> None:
    ticks = time_ticks(_ms("2026-06-01T20:00"), _ms("2026-06-02T02:00"), "Europe/Berlin")
    assert [text for _, text in ticks] == ["22:00", "23:00", "2 Jun", "01:00", "02:00", "03:00",
                                           "04:00"]  # fmt: skip


@given(st.integers(0, 2**41), st.integers(60_000, 2 * 366 * 86_400_000))
def test_any_time_has_few_ticks_that_are_inside(since_ms: int, length_ms: int) -> None:
    ticks = time_ticks(since_ms, since_ms + length_ms, "Europe/Berlin")
    assert len(ticks) <= 3 * TIME_TICKS
    assert all(since_ms <= at <= since_ms + length_ms for at, _ in ticks)
