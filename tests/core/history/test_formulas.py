"""The formulas are those of their sources: held to scipy and pymannkendall."""

from __future__ import annotations

import numpy as np
import pymannkendall
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agent.core.history.burn_rate import PUBLISHED, BudgetLeft, BurnRate
from agent.core.history.peers import Deviation
from agent.core.history.robust_stats import slope, spread, thinned, trending
from tests.core.history.looks import DAY, DAYS, HOURS, look

some = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=5, max_size=60)
tied = st.lists(st.integers(-3, 3).map(float), min_size=5, max_size=60)


@given(some | tied)
def test_the_slope_is_theil_and_sens(values: list[float]) -> None:
    at = np.arange(len(values)) - len(values) + 1.0
    steep, height = slope(at, np.array(values))
    expected = stats.theilslopes(values, at)
    assert steep == pytest.approx(expected.slope, abs=1e-9)
    assert height == pytest.approx(expected.intercept, abs=1e-6)


@given(some | tied)
def test_a_trend_is_what_mann_and_kendall_call_one(values: list[float]) -> None:
    if len(set(values)) == 1:
        assert not trending(np.array(values))  # the reference divides by zero
        return
    reference = pymannkendall.original_test(values, alpha=0.05)
    assert trending(np.array(values)) == bool(reference.h)


@given(some)
def test_the_spread_is_the_scaled_median_deviation(values: list[float]) -> None:
    array = np.array(values)
    expected = stats.median_abs_deviation(array, scale="normal")
    if expected > 0:
        assert spread(array, float(np.median(array))) == pytest.approx(expected)


def test_the_spread_of_mostly_equal_values_is_the_mean_deviation() -> None:
    # Iglewicz & Hoaglin 1993, section 3.4: 1.253314 times the mean absolute deviation.
    assert spread(np.array([5.0, 5, 5, 5, 9]), 5.0) == pytest.approx(1.253314 * 4 / 5, rel=1e-6)
    assert spread(np.array([5.0, 5, 5]), 5.0) == 0.0


@pytest.mark.parametrize("count", [301, 450, 599, 600, 601, 1500, 4000])
def test_long_stretches_are_thinned_to_medians(count: int) -> None:
    values = np.random.default_rng(count).normal(0, 100, count).tolist()
    at, few = thinned(np.arange(len(values), dtype=float), np.array(values))
    size = -(-len(values) // 300)
    assert len(few) == len(values) // size
    assert few[-1] == pytest.approx(float(np.median(values[-size:])))
    assert at[-1] == pytest.approx(float(np.median(range(len(values) - size, len(values)))))


@pytest.mark.parametrize("seed", range(5))
def test_a_series_far_from_its_group_is_so_by_the_modified_z_score(seed: int) -> None:
    group = np.random.default_rng(seed).normal(100, 5, 12)
    seen = look([float(group[3])], peers=lambda by: group if by == (1,) else np.empty(0))
    # Iglewicz & Hoaglin 1993: 0.6745 (x - median) / MAD
    expected = 0.6745 * abs(group[3] - np.median(group)) / stats.median_abs_deviation(group)
    assert Deviation("", (1,)).compute(seen) == pytest.approx(expected, rel=1e-4)
    assert Deviation("", ()).compute(seen) is None  # nobody there


def test_the_published_burn_rates_are_those_of_thirty_days() -> None:
    # The Site Reliability Workbook, table 5-8.
    rates = [(r.long_ms // 3_600_000, r.short_ms // 60_000) for r in PUBLISHED]
    assert rates == [(1, 5), (6, 30), (72, 360)]
    assert [r.budget * 30 * DAY / r.long_ms for r in PUBLISHED] == pytest.approx([14.4, 6, 1])


def test_a_budget_burns_by_events_not_by_windows() -> None:
    # 1000 events with 1 % bad and 10 with 50 % bad: 15 of 1010 are bad, of a budget of 0.1 %.
    seen = look([0.99, 0.5], HOURS, events=[1000, 10])
    assert BurnRate("", 2 * 3_600_000, 0.001, "higher").compute(seen) == pytest.approx(
        15 / 1010 / 0.001
    )
    assert BurnRate("", 3_600_000, 0.001, "higher").compute(seen) == pytest.approx(500)
    assert BurnRate("", 3_600_000, 0.001, "lower").compute(look([0.01], HOURS)) == pytest.approx(10)
    assert BudgetLeft("", DAY, 0.1, "higher").compute(seen) == pytest.approx(1 - 15 / 1010 / 0.1)
    assert BurnRate("", 3_600_000, 0.001, "higher").compute(look([None], DAYS, events=[0])) is None
