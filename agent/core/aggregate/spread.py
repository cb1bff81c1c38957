"""Variances and standard deviations.

A state is how many values there are, the least of them, the mean above it and the sum of squared
deviations. What is above the least value keeps its digits wherever zero is, and equal values
deviate by 0 exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.aggregate.kind import Columns, Final, Kind, State
from agent.core.model.kpis import PartialKind


def _spread_finish(lists: pl.Series) -> Sequence[pl.Series]:
    """Count, least value, mean above it and squared deviations of each list of values."""
    counts = lists.list.len().to_numpy().astype(np.int64)
    filled = counts > 0
    n = counts[filled]
    values = lists.explode(empty_as_null=False).to_numpy()
    starts = np.cumsum(n) - n
    columns = [np.zeros(len(counts)) for _ in range(3)]
    if len(n):
        with np.errstate(over="ignore", invalid="ignore"):  # such a value is not finite: no value
            base = np.minimum.reduceat(values, starts)
            above = values - np.repeat(base, n)
            mean = np.add.reduceat(above, starts) / n
            apart = above - np.repeat(mean, n)
            squares = np.add.reduceat(apart * apart, starts)
        for column, made in zip(columns, (base, mean, squares), strict=True):
            column[filled] = made
    return [pl.Series(counts), *map(pl.Series, columns)]


def _add_spreads(mine: Columns, rows: Ints, theirs: Columns) -> None:
    """The same as `_spread_merge`, over all parts of a row at once."""
    counted = theirs[0] > 0
    places, part = np.unique(rows[counted], return_inverse=True)
    if not len(places):
        return
    known = mine[0][places] > 0
    before = [column[places[known]] for column in mine]
    n, base, mean, squares = (
        np.concatenate([m, t[counted]]) for m, t in zip(before, theirs, strict=True)
    )
    part = np.concatenate([np.flatnonzero(known), part])
    whole_base = np.full(len(places), np.inf)
    np.minimum.at(whole_base, part, base)
    whole_n = np.bincount(part, n)
    with np.errstate(over="ignore", invalid="ignore"):
        above = (base - whole_base[part]) + mean
        whole_mean = np.bincount(part, n * above) / whole_n
        apart = above - whole_mean[part]
        whole_squares = np.bincount(part, squares + n * (apart * apart))
    for column, made in zip(mine, (whole_n, whole_base, whole_mean, whole_squares), strict=True):
        column[places] = made


def _spread_merge(a: State, b: State) -> State:
    """Chan, Golub and LeVeque 1979, the pairwise update of mean and squared deviations, above a
    common base."""
    if not a[0]:
        return b
    if not b[0]:
        return a
    n = a[0] + b[0]
    base = min(a[1], b[1])
    of_a, of_b = (a[1] - base) + a[2], (b[1] - base) + b[2]
    apart = of_b - of_a
    return (
        n,
        base,
        (a[0] * of_a + b[0] * of_b) / n,
        a[3] + b[3] + apart * apart * a[0] * b[0] / n,
    )


def _final(of_sample: bool, root: bool, state: State, *_others: object) -> Final:
    """The squared deviations over how many values there are, one less of a sample."""
    n = state[0] - 1 if of_sample else state[0]
    if n < 1:
        return None
    return math.sqrt(state[3] / n) if root else state[3] / n


_STDDEV = Kind(
    dtypes=(pl.Int64, pl.Float64, pl.Float64, pl.Float64),
    empty=(0, 0.0, 0.0, 0.0),
    fold=lambda x: (x.drop_nulls(),),
    finish=_spread_finish,
    add=_add_spreads,
    merge=_spread_merge,
    final=partial(_final, True, True),
)

SPREADS: Mapping[PartialKind, Kind] = {
    PartialKind.STDDEV: _STDDEV,
    PartialKind.STDDEV_POP: replace(_STDDEV, final=partial(_final, False, True)),
    PartialKind.VARIANCE: replace(_STDDEV, final=partial(_final, True, False)),
    PartialKind.VAR_POP: replace(_STDDEV, final=partial(_final, False, False)),
}
