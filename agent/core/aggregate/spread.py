"""Variances and standard deviations.

A state is the number of values, the least value (`base`), the mean minus the base, and the sum of
squared deviations. Relative to the base, values far from 0 keep their precision, and the deviation
of equal values is exactly 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl

from agent.core.aggregate.aggregate_function import AggregateFunction, Columns, Final, State
from agent.core.aggregate.columns import Ints
from agent.core.model.kpis import PartialKind


def _spread_finish(lists: pl.Series) -> Sequence[pl.Series]:
    """The columns of the state for each list of values."""
    counts = lists.list.len().to_numpy().astype(np.int64)
    filled = counts > 0
    n = counts[filled]
    values = lists.explode(empty_as_null=False).to_numpy()
    starts = np.cumsum(n) - n
    columns = [np.zeros(len(counts)) for _ in range(3)]
    if len(n):
        with np.errstate(over="ignore", invalid="ignore"):  # the result is then not finite: None
            base = np.minimum.reduceat(values, starts)
            above = values - np.repeat(base, n)
            mean = np.add.reduceat(above, starts) / n
            deviation = above - np.repeat(mean, n)
            squares = np.add.reduceat(deviation * deviation, starts)
        for column, made in zip(columns, (base, mean, squares), strict=True):
            column[filled] = made
    return [pl.Series(counts), *map(pl.Series, columns)]


def _add_spreads(mine: Columns, rows: Ints, theirs: Columns) -> None:
    """As `_spread_merge`, for all parts of each row at once."""
    counted = theirs[0] > 0
    targets, part = np.unique(rows[counted], return_inverse=True)
    if not len(targets):
        return
    known = mine[0][targets] > 0
    before = [column[targets[known]] for column in mine]
    n, base, mean, squares = (
        np.concatenate([m, t[counted]]) for m, t in zip(before, theirs, strict=True)
    )
    part = np.concatenate([np.flatnonzero(known), part])
    whole_base = np.full(len(targets), np.inf)
    np.minimum.at(whole_base, part, base)
    whole_n = np.bincount(part, n)
    with np.errstate(over="ignore", invalid="ignore"):
        above = (base - whole_base[part]) + mean
        whole_mean = np.bincount(part, n * above) / whole_n
        deviation = above - whole_mean[part]
        whole_squares = np.bincount(part, squares + n * (deviation * deviation))
    for column, made in zip(mine, (whole_n, whole_base, whole_mean, whole_squares), strict=True):
        column[targets] = made


def _spread_merge(a: State, b: State) -> State:
    """The pairwise update of mean and squared deviations by Chan, Golub and LeVeque (1979),
    relative to a common base."""
    if not a[0]:
        return b
    if not b[0]:
        return a
    n = a[0] + b[0]
    base = min(a[1], b[1])
    of_a, of_b = (a[1] - base) + a[2], (b[1] - base) + b[2]
    deviation = of_b - of_a
    return (
        n,
        base,
        (a[0] * of_a + b[0] * of_b) / n,
        a[3] + b[3] + deviation * deviation * a[0] * b[0] / n,
    )


def _final(state: State, *_others: object, of_sample: bool, root: bool) -> Final:
    """The variance, of a sample or of the population, or its square root."""
    n = state[0] - 1 if of_sample else state[0]
    if n < 1:
        return None
    return math.sqrt(state[3] / n) if root else state[3] / n


_STDDEV = AggregateFunction(
    dtypes=(pl.Int64, pl.Float64, pl.Float64, pl.Float64),
    empty=(0, 0.0, 0.0, 0.0),
    fold=lambda x: (x.drop_nulls(),),
    finish=_spread_finish,
    add=_add_spreads,
    merge=_spread_merge,
    final=partial(_final, of_sample=True, root=True),
)

SPREADS: Mapping[PartialKind, AggregateFunction] = {
    PartialKind.STDDEV: _STDDEV,
    PartialKind.STDDEV_POP: replace(_STDDEV, final=partial(_final, of_sample=False, root=True)),
    PartialKind.VARIANCE: replace(_STDDEV, final=partial(_final, of_sample=True, root=False)),
    PartialKind.VAR_POP: replace(_STDDEV, final=partial(_final, of_sample=False, root=False)),
}
