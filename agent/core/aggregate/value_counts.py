"""The distinct values of a group, each with its count: `mode`, `sum(distinct x)`.

Values are 64-bit floats or integers. Up to `MOST_VALUES` distinct values are all stored. Beyond
that, the sketch has those with the `MOST_VALUES + 1` smallest hashes (a bottom-k sample: Cohen and
Kaplan 2007): a random sample of the distinct values, with exact counts, because a value that is in
the sample of the whole is in the sample of every part. So the bytes are canonical, as those of
`sketches`: the same values give the same bytes, regardless of batches and order.

Up to `MOST_VALUES` values all results are exact. Beyond that, there is no mode; the mean of
distinct values is that of the sample, and their sum is the sample's sum divided by the share of
hashes that it spans. The relative standard errors are about `sd / sqrt(k)`, and
`sqrt((1 + (sd / mean)**2) / k)` for the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

MOST_VALUES = 4096
"""The maximum number of distinct values with their counts: at most 64 KiB."""

_INT, _FLOAT, _UNSIGNED = np.dtype("<i8"), np.dtype("<f8"), np.dtype("<u8")
_WIDTH = 16

_Ints = npt.NDArray[np.int64]


def counts_of(lists: pl.Series) -> list[bytes | None]:
    """The sketch of each list of values, Float64 (finite) or Int64."""
    lengths = lists.list.len().to_numpy()
    values = lists.explode(empty_as_null=False).to_numpy()
    if values.dtype.kind == "f":
        values = values + 0.0  # turns -0.0 into 0.0
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
    """The most frequent value, the least of several; None without values, or for more than
    `MOST_VALUES` distinct values."""
    if sketch is None:
        return None
    bits, counts = _unpacked(sketch)
    if len(bits) > MOST_VALUES:
        return None
    most: npt.NDArray[np.generic] = bits[counts == counts.max()]
    return (most if whole else most.view(_FLOAT)).min().item()  # type: ignore[no-any-return]


def sum_distinct(sketch: bytes | None, whole: bool) -> float | int | None:
    """The sum of the distinct values; None without values."""
    if sketch is None:
        return None
    bits, _ = _unpacked(sketch)
    total = _sum(bits[:MOST_VALUES], whole)
    if len(bits) <= MOST_VALUES:
        return total
    estimate = total / ((int(_hash(bits[-1:])[0]) + 1) / 2**64)
    return round(estimate) if whole else estimate


def mean_distinct(sketch: bytes | None, whole: bool) -> float | None:
    """The mean of the distinct values; None without values."""
    if sketch is None:
        return None
    bits, _ = _unpacked(sketch)
    kept = bits[:MOST_VALUES]
    return _sum(kept, whole) / len(kept)


def _sum(bits: _Ints, whole: bool) -> float | int:
    """The sum of values; exact for integers of any size."""
    if whole:
        total: int = sum(bits.tolist())
        return total
    with np.errstate(over="ignore"):  # the sum is then not finite: no value
        return float(bits.view(_FLOAT).sum())


def _hash(bits: _Ints) -> npt.NDArray[np.uint64]:
    """SplitMix64's finalizer (Steele, Lea and Flood 2014): a bijection, so that no two values have
    the same hash."""
    x = bits.view(_UNSIGNED) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _packed(bits: _Ints, counts: _Ints) -> bytes:
    """The sketch of values in the order of their hashes."""
    most = MOST_VALUES + 1
    return bits[:most].tobytes() + np.asarray(counts[:most], _INT).tobytes()


def _unpacked(sketch: bytes) -> tuple[_Ints, _Ints]:
    n = len(sketch) // _WIDTH
    return np.frombuffer(sketch, _INT, n), np.frombuffer(sketch, _INT, n, n * _INT.itemsize)
