"""The formulas are those of their sources: compared with scipy and pymannkendall."""

from __future__ import annotations

import numpy as np
import pymannkendall
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agent.core.history.robust_stats import slope, spread, thinned, trending

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
