"""`first`, `last`, `arg_min`, `arg_max`: the value of the first or last row in an order.

The order is event time, or a key, then event time. A state is the chosen row: its key (if any),
event time in ms, offset and value. Rows without a value or a key are ignored. Between equal times
the offset decides, between equal offsets of two partitions the value, so that the order is total.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import polars as pl

from agent.core.aggregate.aggregate_function import AggregateFunction, Columns, Final, State
from agent.core.aggregate.columns import NO_INT, Ints
from agent.core.model.kpis import Partial, PartialKind

_Number = type[pl.Int64] | type[pl.Float64]

_TIME = -3
"""The index of the event time in the state; it is null in the empty state."""


def _prepare(key: _Number | None, value: _Number, argument: pl.Expr) -> pl.Expr:
    """Rows as structs of the columns that order them; null for rows without a value."""
    number = (argument if key is None else argument.struct.field("value")).cast(value)
    columns = [
        *(() if key is None else (argument.struct.field("key").cast(key),)),
        *(pl.col("_time").alias("time"), pl.col("_offset").alias("offset")),
        number.alias("value"),
    ]
    return pl.when(number.is_not_null()).then(pl.struct(columns))


def _fold(names: tuple[str, ...], empty: State, latest: bool, x: pl.Expr) -> tuple[pl.Expr, ...]:
    order = [x.struct.field(name) for name in names]
    chosen = [c.sort_by(order, descending=latest, nulls_last=True).first() for c in order]
    return tuple(
        column if value is None else column.fill_null(value)
        for column, value in zip(chosen, empty, strict=True)
    )


def _add(latest: bool, mine: Columns, rows: Ints, theirs: Columns) -> None:
    targets = np.unique(rows)
    where = np.concatenate([targets, rows])
    columns = [np.concatenate([m[targets], t]) for m, t in zip(mine, theirs, strict=True)]
    known = columns[_TIME] != NO_INT
    where, columns = where[known], [column[known] for column in columns]
    order = np.lexsort((*reversed(columns), where))
    if latest:
        order = order[::-1]
    targets, first = np.unique(where[order], return_index=True)
    for column, values in zip(mine, columns, strict=True):
        column[targets] = values[order[first]]


def _merge(latest: bool, a: State, b: State) -> State:
    if a[_TIME] is None:
        return b
    if b[_TIME] is None:
        return a
    return max(a, b) if latest else min(a, b)


def _final(state: State, _previous: State | None, _partial: Partial) -> Final:
    return None if state[_TIME] is None else state[-1]


def _function(*, latest: bool, key: _Number | None, value: _Number) -> AggregateFunction:
    # Any integer may be a key or a value, so none of them can mark the empty state.
    row: State = (None, None, 0 if value is pl.Int64 else None)
    names: tuple[str, ...] = ("time", "offset", "value")
    empty = row if key is None else (0 if key is pl.Int64 else 0.0, *row)
    names = names if key is None else ("key", *names)
    return AggregateFunction(
        dtypes=(*(() if key is None else (key,)), pl.Int64, pl.Int64, value),
        empty=empty,
        prepare=partial(_prepare, key, value),
        fold=partial(_fold, names, empty, latest),
        add=partial(_add, latest),
        merge=partial(_merge, latest),
        final=_final,
        final_dtype=pl.Int128 if value is pl.Int64 else pl.Float64,
    )


RANKED: Mapping[PartialKind, AggregateFunction] = {
    PartialKind.FIRST: _function(latest=False, key=None, value=pl.Float64),
    PartialKind.LAST: _function(latest=True, key=None, value=pl.Float64),
}
WHOLE_RANKED: Mapping[PartialKind, AggregateFunction] = {
    PartialKind.FIRST: _function(latest=False, key=None, value=pl.Int64),
    PartialKind.LAST: _function(latest=True, key=None, value=pl.Int64),
}
RANKED_BY: Mapping[tuple[PartialKind, bool, bool], AggregateFunction] = {
    (kind, whole_key, whole): _function(
        latest=kind is PartialKind.ARG_MAX,
        key=pl.Int64 if whole_key else pl.Float64,
        value=pl.Int64 if whole else pl.Float64,
    )
    for kind in (PartialKind.ARG_MIN, PartialKind.ARG_MAX)
    for whole_key in (False, True)
    for whole in (False, True)
}
"""By kind, whether the key is an integer, and whether the value is an integer."""
