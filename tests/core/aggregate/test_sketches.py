"""Sketches keep their stated errors, and are the same bytes however their values were split."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.aggregate.sketches import (
    EXACT_VALUES,
    LG_K,
    QUANTILE_ERROR,
    quantile,
    quantile_cont,
    quantiles_merged,
    quantiles_of,
    theta_count,
    theta_merged,
    theta_of,
    theta_share,
)

K = 2**LG_K


def sketch_of(values: list[float]) -> bytes | None:
    return quantiles_of(pl.Series([values], dtype=pl.List(pl.Float64)))[0]


def ranked(values: list[float], q: float) -> float:
    rank = max(1, math.ceil(round(q * len(values), 9)))
    return sorted(values)[rank - 1]


@pytest.mark.parametrize("n", [0, 1, 2, 100, 5000, K])
def test_distinct_counts_are_exact_up_to_the_size(n: int) -> None:
    assert theta_count(theta_of(list(range(n)) * 2)) == n
    assert theta_count(theta_of(f"customer {i}" for i in range(n))) == n


def test_distinct_counts_fifty_thousand_within_three_standard_errors() -> None:
    estimate = theta_count(theta_of(f"customer {i}" for i in range(50_000)))
    assert estimate == pytest.approx(50_000, rel=3 / math.sqrt(K))


def test_the_empty_string_is_a_value() -> None:
    assert theta_count(theta_of(["", "a", "", "a\0b"])) == 3


def test_booleans_are_counted() -> None:
    assert theta_count(theta_of([True, False, True])) == 2
    assert theta_of([True]) == theta_of([1])


def test_floats_that_are_equal_in_sql_are_one_value() -> None:
    assert theta_count(theta_of([0.0, -0.0, 1.5])) == 2


@pytest.mark.parametrize("n", [10, K, K + 1, 30_000])
def test_the_same_set_is_the_same_bytes_however_it_was_split(n: int) -> None:
    rng = random.Random(n)
    values = [f"v{i}" for i in range(n)]
    whole = theta_of(values)
    parts = []
    for pieces in (2, 3, 7):
        shuffled = rng.sample(values, n)
        cuts = [0, *sorted(rng.randrange(n) for _ in range(pieces - 1)), n]
        sketches = [theta_of(shuffled[a:b] + shuffled[:5]) for a, b in pairwise(cuts)]
        parts = [part for part in sketches if part is not None]
        assert theta_merged(parts) == whole
    left = theta_merged([theta_merged(parts[:2]), *parts[2:]])
    right = theta_merged([theta_merged(parts[3:]), theta_merged(parts[:3])])
    assert left == right == whole


def test_a_share_is_exact_of_small_sets() -> None:
    before, now = theta_of(range(1000)), theta_of(range(250, 2000))
    assert theta_share(before, now) == 0.75
    assert theta_share(now, before) == 750 / 1750
    assert theta_share(before, None) == 0
    assert theta_share(None, now) is None
    assert theta_share(before, before) == 1


def test_a_share_of_fifty_thousand_is_within_its_error() -> None:
    before = theta_of(f"c{i}" for i in range(50_000))
    now = theta_of(f"c{i}" for i in range(20_000, 80_000))
    share, whole = 0.6, 80_000
    error = math.sqrt(share * (1 - share) / (K * 50_000 / whole))
    assert theta_share(before, now) == pytest.approx(share, abs=3 * error)


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


shares = st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0])


@given(st.lists(finite, min_size=1, max_size=EXACT_VALUES), shares)
def test_quantiles_of_few_values_are_the_ranked_value_itself(values: list[float], q: float) -> None:
    assert quantile(sketch_of(values), q) == ranked(values, q)


@given(st.lists(finite, min_size=1, max_size=60), shares)
def test_quantiles_of_many_are_within_their_error_and_between_the_ends(
    values: list[float], q: float
) -> None:
    values = values * EXACT_VALUES + values[:1]
    estimate = quantile(sketch_of(values), q)
    # Denormals have no relative precision left.
    assert estimate == pytest.approx(ranked(values, q), rel=QUANTILE_ERROR * 1.0001, abs=1e-300)
    assert estimate is not None and min(values) <= estimate <= max(values)
    assert quantile(sketch_of(values), 0) == min(values)
    assert quantile(sketch_of(values), 1) == max(values)


def test_quantiles_of_equal_values_are_that_value_however_many_there_are() -> None:
    for count in (1, 3, EXACT_VALUES, EXACT_VALUES + 1, 5000):
        assert quantile(sketch_of([28.0] * count), 0.5) == 28


def test_quantiles_of_many_values_are_within_their_error() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate(
        [rng.lognormal(3, 2, 40_000), -rng.lognormal(1, 1, 9_000), np.zeros(999)]
    )
    sketch = sketch_of(values.tolist())
    for q in (0.01, 0.18, 0.19, 0.5, 0.9, 0.95, 0.999):
        exact = np.sort(values)[math.ceil(q * len(values)) - 1]
        assert quantile(sketch, q) == pytest.approx(float(exact), rel=QUANTILE_ERROR)


@pytest.mark.parametrize("times", [1, EXACT_VALUES])
def test_zero_is_exact_and_signs_are_kept(times: int) -> None:
    assert quantile(sketch_of([0.0, -0.0] * times), 0.5) == 0
    values = [-8.0, 0.0, 8.0] * times
    quantiles = [quantile(sketch_of(values), q) for q in (0.3, 0.6, 0.9)]
    assert [math.copysign(1, v) if v else v for v in quantiles if v is not None] == [-1, 0, 1]


@pytest.mark.parametrize("times", [1, EXACT_VALUES])
def test_the_rank_is_of_the_decimal_that_was_written(times: int) -> None:
    # 0.07 * 100 is 7.000000000000001 in doubles, which would be rank 8.
    sketch = sketch_of([float(n) for n in range(1, 101) for _ in range(times)])
    assert quantile(sketch, 0.07) == pytest.approx(7, rel=QUANTILE_ERROR)


def test_what_is_not_finite_is_left_out() -> None:
    assert sketch_of([math.nan, 1.0, math.inf, -math.inf]) == sketch_of([1.0])
    assert sketch_of([math.inf]) is None


lists = st.lists(st.lists(finite, min_size=1, max_size=20), min_size=1, max_size=5)


@given(lists, st.sampled_from([1, 5, 20]))
def test_merged_sketches_are_the_sketch_of_all_values(
    batches: list[list[float]], times: int
) -> None:
    batches = [batch * times for batch in batches]
    parts = [part for part in map(sketch_of, batches) if part is not None]
    whole = sketch_of([value for batch in batches for value in batch])
    assert quantiles_merged(parts) == whole
    assert quantiles_merged(parts[::-1]) == whole
    assert quantiles_merged([quantiles_merged(parts[:2]), *parts[2:]]) == whole


def test_no_values_have_no_sketch_and_no_quantile() -> None:
    assert theta_of([]) is None
    assert sketch_of([]) is None
    assert quantile(None, 0.5) is None
    assert theta_count(None) == 0


@pytest.mark.parametrize("n", [1, 2, 5, EXACT_VALUES, EXACT_VALUES + 1, 5000])
@pytest.mark.parametrize("q", [0.0, 0.07, 0.5, 0.9, 1.0])
def test_quantile_cont_lies_between_the_values_beside_it(n: int, q: float) -> None:
    rng = random.Random(n)
    values = [rng.lognormvariate(3, 2) for _ in range(n)]
    expected = float(np.quantile(values, q))
    rel = 1e-12 if n <= EXACT_VALUES else QUANTILE_ERROR
    assert quantile_cont(sketch_of(values), q) == pytest.approx(expected, rel=rel)


def test_quantile_cont_of_no_values_is_none() -> None:
    assert quantile_cont(None, 0.5) is None


def test_a_quantile_of_values_of_all_sizes_has_a_bounded_sketch_however_it_was_split() -> None:
    rng = random.Random(3)
    values = [rng.choice([-1, 1]) * 10 ** rng.uniform(-300, 300) for _ in range(60_000)]
    whole = sketch_of(values)
    assert whole is not None and len(whole) <= 192_100
    cuts = [0, 300, 20_000, 20_001, 60_000]
    parts = [part for a, b in pairwise(cuts) if (part := sketch_of(values[a:b])) is not None]
    assert quantiles_merged(parts) == whole
    assert quantiles_merged([quantiles_merged(parts[2:]), *parts[:2]]) == whole
    greatest = max(values)
    for q in (0.001, 0.02, 0.5, 0.98, 0.999):
        wanted = ranked(values, q)
        assert quantile(whole, q) == pytest.approx(wanted, rel=QUANTILE_ERROR, abs=greatest / 1e34)
