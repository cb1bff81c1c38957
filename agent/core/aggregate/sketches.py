"""The two sketches behind `count(distinct x)`, `retention(x)` and `quantile(x, q)`.

Both are stored as bytes in a canonical form: the same values give the same bytes, regardless of
batches and of the order of merging. So merging is exactly associative and commutative, and a frame
that is sent twice is the same frame. Without values, a sketch is None.

**Distinct values**: Apache DataSketches theta with `k = 2**LG_K` hashes. Exact up to k distinct
values; above that the standard error is `1 / sqrt(k)`, 1.1 % (theta sketches, Dasgupta et al.
2016). It is canonical because every sketch is trimmed to the k smallest hashes of its set, with the
next one as theta: the smallest k+1 hashes of a union depend only on the smallest k+1 of its parts.
The share of one set that is also in another is exact while their union has at most k values; above
that its standard error is about `sqrt(share * (1 - share) / (k * |A| / |A or B|))`.

**Quantiles**: up to `EXACT_VALUES` values are stored as they are, and the result is the value of
the requested rank. For more values, the sketch has the least and the greatest, and counts in
buckets whose bounds grow by `GAMMA` (DDSketch, Masson et al. 2019). The result is then one of these
two, or between them and within `QUANTILE_ERROR` of the value of that rank, for any distribution. A
sketch has buckets of at most `MOST_SIZES` sizes: beyond that, the smallest values (10**34 times
smaller than the largest) count as 0, which keeps the bytes canonical.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
from datasketches import (
    compact_theta_sketch,
    theta_intersection,
    theta_union,
    update_theta_sketch,
)

LG_K = 13
"""Log2 of the number of hashes in a theta sketch: 8192 hashes, at most 64 KiB."""

QUANTILE_ERROR = 0.005
"""The relative error of a quantile of more than `EXACT_VALUES` values."""

EXACT_VALUES = 256
"""The number of values that are stored as they are: as large as the buckets for that many."""

MOST_SIZES = 8000
"""The maximum number of bucket sizes, each with a positive and a negative bucket: at most 192,000
bytes, which fit a message. They span a factor of 10**34."""

GAMMA = (1 + QUANTILE_ERROR) / (1 - QUANTILE_ERROR)
_LOG_GAMMA = math.log(GAMMA)
_LOG_MIDDLE = math.log(2 / (1 + GAMMA))  # above a bucket's upper bound: equally far from its ends

# Doubles span bucket numbers -74,446 to 70,980; shifted by this they are all positive, so that a
# key's sign is the value's sign, its order the values' order, and 0 is zero.
_SHIFT = 80_000
_LARGEST_LOG = 709.78  # of a double

_VALUE = np.dtype("<f8")
_KEY = np.dtype("<i4")
_COUNT = np.dtype("<i8")
_WIDTH = _KEY.itemsize + _COUNT.itemsize

# The first byte of a quantile's sketch; behind it sorted values, or least and greatest value, the
# keys of the buckets and their counts.
_EXACT, _BUCKETS = b"\x01", b"\x02"

Floats = npt.NDArray[np.float64]


def theta_of(values: Iterable[str | int | float | bool]) -> bytes | None:
    """The sketch of values of one type, with or without duplicates, without nulls."""
    sketch = update_theta_sketch(LG_K)
    update = sketch.update
    for value in values:
        # The library ignores the empty string, which SQL counts: hence the prefix.
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
    """The number of distinct values: exact, a whole number, up to `2**LG_K`."""
    return 0.0 if sketch is None else compact_theta_sketch.deserialize(sketch).get_estimate()


def theta_share(whole: bytes | None, other: bytes | None) -> float | None:
    """The share of the first set's values that are also in the second; None if the first is
    empty."""
    if whole is None:
        return None
    if other is None:
        return 0.0
    first = compact_theta_sketch.deserialize(whole)
    both = theta_intersection()
    both.update(first)
    both.update(compact_theta_sketch.deserialize(other))
    return min(1.0, float(both.get_result().get_estimate() / first.get_estimate()))


def quantiles_of(lists: pl.Series) -> list[bytes | None]:
    """The sketch of each list of values (List(Float64), in any order), without values that are not
    finite."""
    lengths = lists.list.len().to_numpy()
    values = lists.explode(empty_as_null=False).to_numpy()
    group = np.repeat(np.arange(len(lengths)), lengths)
    finite = np.isfinite(values)
    if not finite.all():
        values, group = values[finite], group[finite]
    values = values[np.lexsort((values, group))] + 0.0  # turns -0.0 into 0.0
    data = values.astype(_VALUE, copy=False).tobytes()
    bounds = np.searchsorted(group, np.arange(len(lengths) + 1)).tolist()
    return [
        None
        if start == stop
        else _EXACT + data[8 * start : 8 * stop]
        if stop - start <= EXACT_VALUES
        else _in_buckets(values[start:stop])
        for start, stop in pairwise(bounds)
    ]


def quantiles_merged(sketches: Sequence[bytes]) -> bytes:
    """The sketch of all values of at least one sketch."""
    if len(sketches) == 1:
        return sketches[0]
    exact = [_values(sketch) for sketch in sketches if sketch.startswith(_EXACT)]
    values = np.concatenate(exact) if exact else np.empty(0)
    others = [sketch for sketch in sketches if sketch.startswith(_BUCKETS)]
    if not others and len(values) <= EXACT_VALUES:
        return _EXACT + np.sort(values).tobytes()
    if len(values):
        others.append(_in_buckets(np.sort(values)))
    if len(others) == 1:
        return others[0]
    parts = [_unpacked(sketch) for sketch in others]
    keys, where = np.unique(np.concatenate([key for _, key, _ in parts]), return_inverse=True)
    counts = np.zeros(len(keys), _COUNT)
    np.add.at(counts, where, np.concatenate([count for _, _, count in parts]))
    ends = np.concatenate([ends for ends, _, _ in parts])
    return _packed(ends.min(), ends.max(), keys, counts)


def quantile(sketch: bytes | None, q: float) -> float | None:
    """The value of rank `ceil(q * n)` (at least 1), as SQL's quantile_disc; None without values."""
    if sketch is None:
        return None
    above, below = _as_written(q)
    size = _size(sketch)
    return _of_rank(sketch, size, max(1, -(-size * above // below)))


def quantile_cont(sketch: bytes | None, q: float) -> float | None:
    """As SQL's quantile_cont, interpolated at the position `q * (n - 1)`, counted from 0; None
    without values."""
    if sketch is None:
        return None
    above, below = _as_written(q)
    size = _size(sketch)
    position, rest = divmod((size - 1) * above, below)
    value = _of_rank(sketch, size, position + 1)
    if rest:
        share = rest / below
        value = value * (1 - share) + _of_rank(sketch, size, position + 2) * share
    return value


def _size(sketch: bytes) -> int:
    """The number of values."""
    if sketch.startswith(_EXACT):
        return len(_values(sketch))
    return int(_unpacked(sketch)[2].sum())


def _of_rank(sketch: bytes, size: int, rank: int) -> float:
    """The value of a rank from 1 to the number of values."""
    if sketch.startswith(_EXACT):
        return float(_values(sketch)[rank - 1])
    (least, greatest), keys, counts = _unpacked(sketch)
    if rank in (1, size):
        return float(least if rank == 1 else greatest)
    middle = _middle(int(keys[np.searchsorted(np.cumsum(counts), rank)]))
    return min(max(middle, float(least)), float(greatest))


def _middle(key: int) -> float:
    """The value that a bucket's values count as."""
    if key == 0:
        return 0.0
    size = math.exp(min((abs(key) - _SHIFT) * _LOG_GAMMA + _LOG_MIDDLE, _LARGEST_LOG))
    return math.copysign(size, key)


def _in_buckets(ordered: Floats) -> bytes:
    """The sketch of many values, in ascending order, as buckets."""
    keys, counts = np.unique(_keys(ordered), return_counts=True)
    return _packed(ordered[0], ordered[-1], keys, counts)


def _keys(values: Floats) -> npt.NDArray[np.int32]:
    """The bucket of each value, with the value's sign."""
    with np.errstate(divide="ignore", invalid="ignore"):  # the logarithm of 0, whose key is 0
        sizes = np.ceil(np.log(np.abs(values)) / _LOG_GAMMA) + _SHIFT
        keys = np.where(values == 0, 0.0, np.sign(values) * sizes)
    return keys.astype(_KEY)


@lru_cache(maxsize=256)
def _as_written(q: float) -> tuple[int, int]:
    """The decimal as a fraction: 0.07 * 100 is 7, not 7.000000000000001 as with doubles."""
    return Fraction(repr(q)).as_integer_ratio()


def _values(sketch: bytes) -> Floats:
    return np.frombuffer(sketch, _VALUE, offset=1)


def _packed(least: float, greatest: float, keys: npt.ArrayLike, counts: npt.ArrayLike) -> bytes:
    ends = np.array([least, greatest], _VALUE).tobytes()
    keys, counts = _largest(np.asarray(keys, _KEY), np.asarray(counts, _COUNT))
    return _BUCKETS + ends + keys.tobytes() + counts.tobytes()


def _largest(
    keys: npt.NDArray[np.int32], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The buckets of the `MOST_SIZES` largest sizes; the others are added to the bucket of 0.

    What is dropped from a part would be dropped from the whole, so the order of merging makes no
    difference.
    """
    if len(keys) <= MOST_SIZES:
        return keys, counts
    sizes = np.unique(np.abs(keys[keys != 0]))
    if len(sizes) <= MOST_SIZES:
        return keys, counts
    is_kept = np.abs(keys) >= sizes[-MOST_SIZES]
    kept, at = keys[is_kept], int(np.searchsorted(keys[is_kept], 0))
    return np.insert(kept, at, 0), np.insert(counts[is_kept], at, counts[~is_kept].sum())


def _unpacked(sketch: bytes) -> tuple[Floats, npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Least and greatest value, keys and counts of a sketch in buckets."""
    ends = np.frombuffer(sketch, _VALUE, 2, 1)
    start = 1 + ends.nbytes
    n = (len(sketch) - start) // _WIDTH
    return (
        ends,
        np.frombuffer(sketch, _KEY, n, start),
        np.frombuffer(sketch, _COUNT, n, start + n * _KEY.itemsize),
    )
