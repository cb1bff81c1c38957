"""`min` and `max`, of floats and of integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.aggregate.kind import Columns, Final, Kind, State, first_column
from agent.core.model.kpis import Partial, PartialKind

SMALLEST_INT, LARGEST_INT = -(2**63), 2**63 - 1


def _add_smallest(mine: Columns, rows: Ints, theirs: Columns) -> None:
    np.fmin.at(mine[0], rows, theirs[0])  # ignores NaN


def _add_largest(mine: Columns, rows: Ints, theirs: Columns) -> None:
    np.fmax.at(mine[0], rows, theirs[0])


def _smaller(a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None or a[0] <= b[0] else b


def _larger(a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None or a[0] >= b[0] else b


def _whole_smallest_fold(x: pl.Expr) -> tuple[pl.Expr, ...]:
    return x.count().cast(pl.Int64), x.min().fill_null(LARGEST_INT)


def _whole_largest_fold(x: pl.Expr) -> tuple[pl.Expr, ...]:
    return x.count().cast(pl.Int64), x.max().fill_null(SMALLEST_INT)


def _add_whole_smallest(mine: Columns, rows: Ints, theirs: Columns) -> None:
    np.add.at(mine[0], rows, theirs[0])
    np.minimum.at(mine[1], rows, theirs[1])


def _add_whole_largest(mine: Columns, rows: Ints, theirs: Columns) -> None:
    np.add.at(mine[0], rows, theirs[0])
    np.maximum.at(mine[1], rows, theirs[1])


def _counted_second(state: State, _previous: State | None, _partial: Partial) -> Final:
    return state[1] if state[0] else None


_MIN = Kind(
    dtypes=(pl.Float64,),
    empty=(None,),
    fold=lambda x: (x.min(),),
    add=_add_smallest,
    merge=_smaller,
    final=first_column,
)
_WHOLE_MIN = Kind(
    dtypes=(pl.Int64, pl.Int64),
    empty=(0, LARGEST_INT),
    prepare=lambda argument: argument,
    fold=_whole_smallest_fold,
    add=_add_whole_smallest,
    merge=lambda a, b: (a[0] + b[0], min(a[1], b[1])),
    final=_counted_second,
    final_dtype=pl.Int128,
)

EXTREMES: Mapping[PartialKind, Kind] = {
    PartialKind.MIN: _MIN,
    PartialKind.MAX: replace(_MIN, fold=lambda x: (x.max(),), add=_add_largest, merge=_larger),
}
WHOLE_EXTREMES: Mapping[PartialKind, Kind] = {
    PartialKind.MIN: _WHOLE_MIN,
    PartialKind.MAX: replace(
        _WHOLE_MIN,
        empty=(0, SMALLEST_INT),
        fold=_whole_largest_fold,
        add=_add_whole_largest,
        merge=lambda a, b: (a[0] + b[0], max(a[1], b[1])),
    ),
}
