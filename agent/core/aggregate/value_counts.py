"""The distinct values of a group, each with its count: `mode`, `sum(distinct x)`.

Values are 64-bit floats or integers. All are kept up to `MOST_VALUES`. Of more, those with the
`MOST_VALUES + 1` smallest hashes are (a bottom-k sample: Cohen and Kaplan 2007), which are a random
choice of the distinct values, whose counts are still exact: a value with so small a hash has one in
each part. So the bytes are canonical, as those of `sketches`: the same values give the same bytes,
in whichever batches and order they came.

Up to `MOST_VALUES` values everything is exact. Above, there is no mode; the mean of distinct values
is that of the sample, and their sum is the sample's sum over the share of hashes that it spans:
standard errors of about `sd / sqrt(k)`, and `sqrt((1 + (sd / mean)**2) / k)` of the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

MOST_VALUES = 4096
"""So many distinct values are kept, with their counts: at most 64 KiB."""

_INT, _FLOAT, _UNSIGNED = np.dtype("<i8"), np.dtype("<f8"), np.dtype("<u8")
_WIDTH = 16

_Ints = npt.NDArray[np.int64]


def counts_of(lists: pl.Series) -> list[bytes | None]:
    """The sketch of each list of values, Float64 (finite) or Int64."""
    lengths = lists.list.len().to_numpy()
    values = lists.explode(empty_as_null=False).to_numpy()
    if values.dtype.kind == "f":
        values = values + 0.0  # of both zeros the positive one
    bits = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).view(_INT)
    group = np.repeat(np.arange(len(lengths)), lengths)
    hashes = _hash(bits)
    order = np.lexsort((hashes, group))
    bits, group = bits[order], group[order]
    is_first = np.ones(len(bits), np.bool_)
    is_first[1:] = (bits[1:] != bits[:-1]) | (group[1:] != group[:-1])
    starts = np.flatnonzero(is_first)
    counts = np.diff(starts, append=len(bits))
    bits, group = bits[starts], group[starts]
    bounds = np.searchsorted(group, np.arange(len(lengths) + 1)).tolist()
    return [
        None if start == stop else _packed(bits[start:stop], counts[start:stop])
        for start, stop in pairwise(bounds)
    ]


def merged(sketches: Sequence[bytes]) -> bytes:
    """The sketch of all values of at least one sketch."""
    if len(sketches) == 1:
        return sketches[0]
    parts = [_unpacked(sketch) for sketch in sketches]
    bits, where = np.unique(np.concatenate([bits for bits, _ in parts]), return_inverse=True)
    counts = np.zeros(len(bits), _INT)
    np.add.at(counts, where, np.concatenate([counts for _, counts in parts]))
    order = np.argsort(_hash(bits))
    return _packed(bits[order], counts[order])


def mode(sketch: bytes | None, whole: bool) -> float | int | None:
    """The value that is there most often, the least of equally many; None of no values, or of more
    than `MOST_VALUES` distinct ones."""
    if sketch is None:
        return None
    bits, counts = _unpacked(sketch)
    if len(bits) > MOST_VALUES:
        return None
    most: npt.NDArray[np.generic] = bits[counts == counts.max()]
    return (most if whole else most.view(_FLOAT)).min().item()  # type: ignore[no-any-return]


def sum_distinct(sketch: bytes | None, whole: bool) -> float | int | None:
    """The sum of the distinct values; None of no values."""
    if sketch is None:
        return None
    bits, _ = _unpacked(sketch)
    total = _sum(bits[:MOST_VALUES], whole)
    if len(bits) <= MOST_VALUES:
        return total
    estimate = total / ((int(_hash(bits[-1:])[0]) + 1) / 2**64)
    return round(estimate) if whole else estimate


def mean_distinct(sketch: bytes | None, whole: bool) -> float | None:
    """The mean of the distinct values; None of no values."""
    if sketch is None:
        return None
    bits, _ = _unpacked(sketch)
    kept = bits[:MOST_VALUES]
    return _sum(kept, whole) / len(kept)


def _sum(bits: _Ints, whole: bool) -> float | int:
    """Exact of integers, however large."""
    if whole:
        total: int = sum(bits.tolist())
        return total
    with np.errstate(over="ignore"):  # such a sum is not finite: no value
        return float(bits.view(_FLOAT).sum())


def _hash(bits: _Ints) -> npt.NDArray[np.uint64]:
    """SplitMix64's finalizer (Steele, Lea and Flood 2014): a bijection, so that no two values have
    the same hash."""
    x = bits.view(_UNSIGNED) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _packed(bits: _Ints, counts: _Ints) -> bytes:
    """Of values in the order of their hashes."""
    most = MOST_VALUES + 1
    return bits[:most].tobytes() + np.asarray(counts[:most], _INT).tobytes()


def _unpacked(sketch: bytes) -> tuple[_Ints, _Ints]:
    n = len(sketch) // _WIDTH
    return np.frombuffer(sketch, _INT, n), np.frombuffer(sketch, _INT, n, n * _INT.itemsize)
