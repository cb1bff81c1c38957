"""Sketches keep their stated errors, and are the same bytes however their values were split."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.aggregate.sketches import (
    LG_K,
    QUANTILE_ERROR,
    bucket_key,
    buckets_merged,
    buckets_of,
    buckets_quantile,
    theta_count,
    theta_merged,
    theta_of,
    theta_share,
)

K = 2**LG_K


def buckets(values: list[float]) -> bytes | None:
    keys = pl.DataFrame({"v": values}, schema={"v": pl.Float64}).select(k=bucket_key(pl.col("v")))
    return buckets_of(keys.select(pl.col("k").implode())["k"])[0]


@pytest.mark.parametrize("n", [0, 1, 2, 100, 5000, K])
def test_distinct_counts_are_exact_up_to_the_size(n: int) -> None:
    assert theta_count(theta_of(list(range(n)) * 2)) == n
    assert theta_count(theta_of(f"customer {i}" for i in range(n))) == n


def test_distinct_counts_fifty_thousand_within_three_standard_errors() -> None:
    found = theta_count(theta_of(f"customer {i}" for i in range(50_000)))
    assert found == pytest.approx(50_000, rel=3 / math.sqrt(K))


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
        found = [theta_of(shuffled[a:b] + shuffled[:5]) for a, b in pairwise(cuts)]
        parts = [part for part in found if part is not None]
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


@settings(max_examples=60, deadline=None)
@given(st.lists(finite, min_size=1, max_size=60), st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]))
def test_quantiles_are_within_their_error_of_the_ranked_value(
    values: list[float], q: float
) -> None:
    rank = max(1, math.ceil(round(q * len(values), 9)))
    exact = sorted(values)[rank - 1]
    found = buckets_quantile(buckets(values), q)
    # Denormals have no relative precision left, the largest doubles no room above them.
    assert found == pytest.approx(exact, rel=QUANTILE_ERROR * 1.0001, abs=1e-300) or (
        abs(exact) > 1.6e308
    )


def test_quantiles_of_many_values_are_within_their_error() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate(
        [rng.lognormal(3, 2, 40_000), -rng.lognormal(1, 1, 9_000), np.zeros(999)]
    )
    sketch = buckets(values.tolist())
    for q in (0.01, 0.18, 0.19, 0.5, 0.9, 0.95, 0.999):
        exact = np.sort(values)[math.ceil(q * len(values)) - 1]
        assert buckets_quantile(sketch, q) == pytest.approx(float(exact), rel=QUANTILE_ERROR)


def test_zero_is_exact_and_signs_are_kept() -> None:
    assert buckets_quantile(buckets([0.0, -0.0]), 0.5) == 0
    found = [buckets_quantile(buckets([-8.0, 0.0, 8.0]), q) for q in (0.3, 0.6, 0.9)]
    assert [math.copysign(1, v) if v else v for v in found if v is not None] == [-1, 0, 1]


def test_the_rank_is_of_the_decimal_that_was_written() -> None:
    # 0.07 * 100 is 7.000000000000001 in doubles, which would be rank 8.
    sketch = buckets([float(n) for n in range(1, 101)])
    assert buckets_quantile(sketch, 0.07) == pytest.approx(7, rel=QUANTILE_ERROR)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(finite, min_size=1, max_size=20), min_size=1, max_size=5))
def test_merged_buckets_are_the_buckets_of_all_values(batches: list[list[float]]) -> None:
    parts = [part for part in map(buckets, batches) if part is not None]
    whole = buckets([value for batch in batches for value in batch])
    assert buckets_merged(parts) == whole
    assert buckets_merged(parts[::-1]) == whole


def test_no_values_have_no_sketch_and_no_quantile() -> None:
    assert theta_of([]) is None
    assert buckets([]) is None
    assert buckets_quantile(None, 0.5) is None
    assert theta_count(None) == 0
