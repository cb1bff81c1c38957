"""Distinct values with their counts are exact up to their size, and canonical beyond it."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.aggregate.value_counts import (
    MOST_VALUES,
    counts_of,
    mean_distinct,
    merged,
    mode,
    sum_distinct,
)


def sketch_of(values: list[int] | list[float], whole: bool = True) -> bytes | None:
    dtype = pl.List(pl.Int64 if whole else pl.Float64)
    return counts_of(pl.Series([values], dtype=dtype))[0]


def test_there_is_no_sketch_of_no_values() -> None:
    assert counts_of(pl.Series([[], [1], []], dtype=pl.List(pl.Int64)))[::2] == [None, None]
    assert mode(None, True) is sum_distinct(None, True) is mean_distinct(None, True) is None


@given(st.lists(st.integers(-9, 9) | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40))
def test_few_whole_numbers_are_exact(values: list[int]) -> None:
    sketch, counts = sketch_of(values), Counter(values)
    most = max(counts.values())
    assert mode(sketch, True) == min(value for value, n in counts.items() if n == most)
    assert sum_distinct(sketch, True) == sum(counts)
    assert mean_distinct(sketch, True) == sum(counts) / len(counts)


def test_both_zeros_are_one_value() -> None:
    sketch = sketch_of([0.0, -0.0, 1.5, 1.5, 0.0], whole=False)
    assert (mode(sketch, False), sum_distinct(sketch, False)) == (0.0, 1.5)


@pytest.mark.parametrize("distinct", [10, MOST_VALUES, MOST_VALUES + 1, 3 * MOST_VALUES])
def test_the_bytes_are_the_same_in_any_batches_and_order(distinct: int) -> None:
    rng = random.Random(distinct)
    values = [rng.randrange(distinct) for _ in range(distinct)] + list(range(distinct))
    whole = sketch_of(values)
    rng.shuffle(values)
    bounds = sorted({0, len(values), *(rng.randrange(len(values)) for _ in range(6))})
    parts = [sketch for a, b in pairwise(bounds) if (sketch := sketch_of(values[a:b]))]
    rng.shuffle(parts)
    assert merged(parts) == whole
    while len(parts) > 1:
        parts.append(merged([parts.pop(0), parts.pop(0)]))
    assert parts[0] == whole


def test_of_more_values_than_fit_there_is_no_mode_and_sums_are_estimates() -> None:
    n = 50_000
    values = [*range(n), 7, 7, 7]
    sketch = sketch_of(values)
    assert mode(sketch, True) is None
    spread = math.sqrt((1 + 1 / 3) / MOST_VALUES)  # of 0…n, sd / mean is 1 / sqrt(3)
    assert sum_distinct(sketch, True) == pytest.approx(n * (n - 1) / 2, rel=3 * spread)
    assert mean_distinct(sketch, True) == pytest.approx((n - 1) / 2, rel=3 * spread)
