"""Seasonal anomalies: a window is compared with the same hours of earlier days or weeks."""

from __future__ import annotations

from agent.core.history.seasonal import FARTHEST, SeasonalAnomaly
from agent.core.model.window_history import INCIDENT, MAINTENANCE
from tests.core.history.looks import DAY, DAYS, HOUR, HOURS, MONDAY, WEEK, look, weekly


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


def test_days_and_weeks_begin_in_their_zone() -> None:
    odd = SeasonalAnomaly("", "week", 4 * WEEK, "Asia/Tokyo")
    assert odd.needs_ms(DAYS) == 4 * WEEK + 2 * DAY + HOUR
    assert MONDAY % WEEK == 4 * DAY
