"""The two sketches behind `count(distinct x)`, `retention(x)` and `quantile(x, q)`.

Both are stored as bytes, both in one canonical form: the same values give the same bytes, however
they were split over batches and in whichever order the parts were merged. So merging is exactly
associative and commutative, and a frame that is sent twice is the same frame. No value at all is
None.

**Distinct values**: Apache DataSketches theta, `k = 2**LG_K` hashes. Exact up to k distinct values;
above that the standard error is `1 / sqrt(k)`, 1.1 % (theta sketches, Dasgupta et al. 2016).
Canonical because every sketch is trimmed to the k smallest hashes of its set, theta being the next
one: the smallest k+1 hashes of a union depend on the smallest k+1 of its parts only. The share of
one set that is found in another is exact while their union has at most k values; above that its
standard error is about `sqrt(share * (1 - share) / (k * |A| / |A or B|))`.

**Quantiles**: counts in buckets whose bounds grow by `GAMMA` (DDSketch, Masson et al. 2019). The
answer lies within `QUANTILE_ERROR` of the value that has the asked rank, whatever the distribution.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np
import polars as pl
from datasketches import (
    compact_theta_sketch,
    theta_intersection,
    theta_union,
    update_theta_sketch,
)

LG_K = 13
"""Log2 of the number of hashes that a theta sketch keeps: 8192 hashes, at most 64 KiB."""

QUANTILE_ERROR = 0.005
"""The relative error of a quantile."""

GAMMA = (1 + QUANTILE_ERROR) / (1 - QUANTILE_ERROR)
_LOG_GAMMA = math.log(GAMMA)
_MIDDLE = 2 / (1 + GAMMA)  # of a bucket's upper bound: equally far, relatively, from both its ends

# Doubles span bucket numbers -74,446 to 70,980; shifted by this they are all positive, so that a
# key's sign is the value's sign, its order the values' order, and 0 is zero.
_SHIFT = 80_000
_LARGEST_LOG = math.log(1.7e308)

_KEY = np.dtype("<i4")
_COUNT = np.dtype("<i8")
_WIDTH = _KEY.itemsize + _COUNT.itemsize


def theta_of(values: Iterable[str | int | float | bool]) -> bytes | None:
    """The sketch of some values, all of one type; duplicates are welcome, nulls are not."""
    sketch = update_theta_sketch(LG_K)
    update = sketch.update
    for value in values:
        # The library leaves out the empty string, which SQL counts: hence the prefix.
        # Booleans are hashed as integers.
        update("s" + value if isinstance(value, str) else +value)
    if sketch.is_empty():
        return None
    sketch.trim()
    return bytes(sketch.compact().serialize())


def theta_merged(sketches: Sequence[bytes]) -> bytes:
    """The sketch of the union of at least one set."""
    if len(sketches) == 1:
        return sketches[0]
    union = theta_union(LG_K)
    for sketch in sketches:
        union.update(compact_theta_sketch.deserialize(sketch))
    return bytes(union.get_result().serialize())


def theta_count(sketch: bytes | None) -> float:
    """How many distinct values there are: exact, a whole number, up to `2**LG_K`."""
    return 0.0 if sketch is None else compact_theta_sketch.deserialize(sketch).get_estimate()


def theta_share(whole: bytes | None, other: bytes | None) -> float | None:
    """The share of the first set's values that are in the second too; None of an empty set."""
    if whole is None:
        return None
    if other is None:
        return 0.0
    first = compact_theta_sketch.deserialize(whole)
    both = theta_intersection()
    both.update(first)
    both.update(compact_theta_sketch.deserialize(other))
    return min(1.0, float(both.get_result().get_estimate() / first.get_estimate()))


def bucket_key(value: pl.Expr) -> pl.Expr:
    """The bucket (Int32) of each value (Float64): negative, 0 or positive as the value is."""
    size = (value.abs().log() / _LOG_GAMMA).ceil() + _SHIFT
    # log(0) is -inf, which no integer holds: zero gets its key before the cast.
    keyed = pl.when(value == 0).then(0.0).otherwise(value.sign() * size)
    return keyed.cast(pl.Int32, strict=False)


def buckets_of(keys: pl.Series) -> list[bytes | None]:
    """The sketch of each list of bucket keys (List(Int32), in any order)."""
    counted = (
        pl.DataFrame({"group": np.arange(len(keys)), "key": keys})
        .lazy()
        .explode("key")
        .drop_nulls()
        .group_by("group", "key")
        .len("count")
        .sort("group", "key")
        .collect(engine="in-memory")
    )
    key = counted["key"].to_numpy().astype(_KEY, copy=False)
    count = counted["count"].to_numpy().astype(_COUNT, copy=False)
    bounds = np.searchsorted(counted["group"].to_numpy(), np.arange(len(keys) + 1)).tolist()
    return [
        key[start:stop].tobytes() + count[start:stop].tobytes() if start < stop else None
        for start, stop in pairwise(bounds)
    ]


def buckets_merged(sketches: Sequence[bytes]) -> bytes:
    """The sketch of all values of at least one sketch."""
    if len(sketches) == 1:
        return sketches[0]
    parts = [_unpacked(sketch) for sketch in sketches]
    keys, where = np.unique(np.concatenate([key for key, _ in parts]), return_inverse=True)
    counts = np.zeros(len(keys), _COUNT)
    np.add.at(counts, where, np.concatenate([count for _, count in parts]))
    return keys.astype(_KEY, copy=False).tobytes() + counts.tobytes()


def buckets_quantile(sketch: bytes | None, q: float) -> float | None:
    """The value of rank `ceil(q * n)` (at least 1), as SQL's quantile_disc; None of no values."""
    if sketch is None:
        return None
    keys, counts = _unpacked(sketch)
    ranks = np.cumsum(counts)
    above, below = _as_written(q)
    rank = max(1, -(-int(ranks[-1]) * above // below))
    key = int(keys[np.searchsorted(ranks, rank)])
    if key == 0:
        return 0.0
    size = math.exp(min((abs(key) - _SHIFT) * _LOG_GAMMA, _LARGEST_LOG)) * _MIDDLE
    return math.copysign(size, key)


@lru_cache(maxsize=256)
def _as_written(q: float) -> tuple[int, int]:
    """The decimal that was written: 0.07 * 100 is 7, not 7.000000000000001 of the doubles."""
    return Fraction(repr(q)).as_integer_ratio()


def _unpacked(sketch: bytes) -> tuple[np.ndarray, np.ndarray]:
    n = len(sketch) // _WIDTH
    key = np.frombuffer(sketch, _KEY, n)
    return key, np.frombuffer(sketch, _COUNT, n, n * _KEY.itemsize)
