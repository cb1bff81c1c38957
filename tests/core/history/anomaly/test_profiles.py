"""The season that a series has, found out by itself."""

import numpy as np
import pytest

from agent.core.history.anomaly.profiles import Seasons

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_772_323_200_000


def season_of(values, interval_ms=HOUR):
    seasons = Seasons()
    for i, value in enumerate(values):
        seasons.step(interval_ms, START + i * interval_ms, float(value))
    return seasons


def test_noise_has_no_season():
    assert season_of(np.random.default_rng(1).standard_normal(24 * 60)).chosen == ""


def test_a_level_that_wanders_has_no_season():
    rng = np.random.default_rng(2)
    assert season_of(np.cumsum(rng.standard_normal(24 * 60))).chosen == ""


def test_a_day_is_found_after_two_days():
    hours = np.arange(24 * 4)
    values = np.sin(hours * np.pi / 12) + 0.1 * np.random.default_rng(3).standard_normal(96)
    assert season_of(values[:40]).chosen == ""
    assert season_of(values).chosen == "day"


def test_a_week_is_found_where_the_day_is_not_enough():
    hours = np.arange(24 * 7 * 4)
    values = np.where(hours // 24 % 7 >= 5, 0.2, 1.0) * (2.0 + np.sin(hours * np.pi / 12))
    assert season_of(values).chosen == "week"


def test_one_odd_day_does_not_become_the_season():
    hours = np.arange(24 * 20)
    values = 10.0 * np.sin(hours * np.pi / 12) + np.random.default_rng(4).standard_normal(480)
    values[24 * 15 : 24 * 16] += 1000.0
    seasons = season_of(values)
    at = START + len(hours) * HOUR
    assert seasons.step(HOUR, at, 0.0) == pytest.approx(0.0, abs=5.0)


def test_what_is_expected_does_not_know_the_window_itself():
    hours = np.arange(24 * 10)
    values = 10.0 * np.sin(hours * np.pi / 12)
    at = START + len(hours) * HOUR
    first, second = season_of(values), season_of(values)
    assert first.step(HOUR, at, 0.0) == second.step(HOUR, at, 1e6)


def test_windows_of_a_week_have_no_season():
    values = np.tile([1.0, 2.0], 100)
    assert season_of(values, 7 * DAY).chosen == ""
