"""`min` and `max`, of floats and of integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl

from agent.core.aggregate.aggregate_function import AggregateFunction, Columns, State, first_column
from agent.core.aggregate.columns import Ints
from agent.core.model.kpis import PartialKind

SMALLEST_INT, LARGEST_INT = -(2**63), 2**63 - 1


def _smaller(a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None or a[0] <= b[0] else b


def _larger(a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None or a[0] >= b[0] else b


def _add_whole(extreme: np.ufunc, mine: Columns, rows: Ints, theirs: Columns) -> None:
    np.add.at(mine[0], rows, theirs[0])
    extreme.at(mine[1], rows, theirs[1])


_MIN = AggregateFunction(
    dtypes=(pl.Float64,),
    empty=(None,),
    fold=lambda x: (x.min(),),
    add=lambda mine, rows, theirs: np.fmin.at(mine[0], rows, theirs[0]),  # ignores NaN
    merge=_smaller,
    final=first_column,
)
_WHOLE_MIN = AggregateFunction(
    dtypes=(pl.Int64, pl.Int64),
    empty=(0, LARGEST_INT),
    prepare=lambda argument: argument,
    fold=lambda x: (x.count().cast(pl.Int64), x.min().fill_null(LARGEST_INT)),
    add=partial(_add_whole, np.minimum),
    merge=lambda a, b: (a[0] + b[0], min(a[1], b[1])),
    final=lambda state, *_: state[1] if state[0] else None,
    final_dtype=pl.Int128,
)

EXTREMES: Mapping[PartialKind, AggregateFunction] = {
    PartialKind.MIN: _MIN,
    PartialKind.MAX: replace(
        _MIN,
        fold=lambda x: (x.max(),),
        add=lambda mine, rows, theirs: np.fmax.at(mine[0], rows, theirs[0]),
        merge=_larger,
    ),
}
WHOLE_EXTREMES: Mapping[PartialKind, AggregateFunction] = {
    PartialKind.MIN: _WHOLE_MIN,
    PartialKind.MAX: replace(
        _WHOLE_MIN,
        empty=(0, SMALLEST_INT),
        fold=lambda x: (x.count().cast(pl.Int64), x.max().fill_null(SMALLEST_INT)),
        add=partial(_add_whole, np.maximum),
        merge=lambda a, b: (a[0] + b[0], max(a[1], b[1])),
    ),
}
