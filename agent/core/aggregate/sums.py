"""Counts, sums and means, of floats and of integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import add

import numpy as np
import polars as pl

from agent.core.aggregate.aggregate_function import AggregateFunction, Columns, State, first_column
from agent.core.aggregate.columns import Ints
from agent.core.model.kpis import PartialKind

_HALF = 2**32


def _add_sums(mine: Columns, rows: Ints, theirs: Columns) -> None:
    for column, values in zip(mine, theirs, strict=True):
        np.add.at(column, rows, values)


def _added(a: State, b: State) -> State:
    return tuple(map(add, a, b))


def _whole_sum(state: State) -> int:
    return int(state[1] * _HALF + state[2])


_COUNT = AggregateFunction(
    dtypes=(pl.Int64,),
    empty=(0,),
    prepare=lambda argument: argument,
    fold=lambda x: (x.count().cast(pl.Int64),),
    add=_add_sums,
    merge=_added,
    final=first_column,
    additive=True,
    final_dtype=pl.Int64,
)
_SUM = AggregateFunction(
    dtypes=(pl.Int64, pl.Float64),
    empty=(0, 0.0),
    fold=lambda x: (x.count().cast(pl.Int64), x.sum()),
    add=_add_sums,
    merge=_added,
    final=lambda state, *_: state[1] if state[0] else None,
    additive=True,
)
_WHOLE_SUM = AggregateFunction(
    dtypes=(pl.Int64, pl.Int64, pl.Int64),
    empty=(0, 0, 0),
    prepare=lambda argument: argument,
    # Two halves of 32 bits: neither sum exceeds 64 bits before two billion rows.
    fold=lambda x: (x.count().cast(pl.Int64), (x // _HALF).sum(), (x & (_HALF - 1)).sum()),
    add=_add_sums,
    merge=_added,
    final=lambda state, *_: _whole_sum(state) if state[0] else None,
    additive=True,
    final_dtype=pl.Int128,
)

SUMS: Mapping[PartialKind, AggregateFunction] = {
    PartialKind.COUNT: _COUNT,
    PartialKind.SUM: _SUM,
    PartialKind.MEAN: replace(
        _SUM, final=lambda state, *_: state[1] / state[0] if state[0] else None
    ),
}
WHOLE_SUMS: Mapping[PartialKind, AggregateFunction] = {
    PartialKind.SUM: _WHOLE_SUM,
    PartialKind.MEAN: replace(
        _WHOLE_SUM,
        # The division of Python integers rounds once, whatever their size.
        final=lambda state, *_: _whole_sum(state) / state[0] if state[0] else None,
        final_dtype=pl.Float64,
    ),
}
