"""The kinds of partial aggregates: how rows fold, how partials merge, what they say.

`KINDS` has every kind. A state is a tuple of Python scalars, one for each of the kind's columns:

| kind | columns | final value |
|---|---|---|
| COUNT | n | n |
| SUM, MEAN | n, sum | null without values |
| MIN, MAX | value | |
| STDDEV | n, mean, sum of squared deviations | of a sample; null under two values |
| FIRST, LAST | event time ms, offset, value | of the non-null values |
| DISTINCT, RETENTION | theta sketch | `core/aggregate/sketches.py` states the errors |
| QUANTILE | log-bucket sketch | |

Merging is associative and commutative: exactly, but for the rounding of floating-point sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import add
from typing import Any

import numpy as np
import polars as pl

from agent.core.aggregate import sketches
from agent.core.aggregate.columns import NO_INT, Column, Ints
from agent.core.model.plan import Partial, PartialKind

State = tuple[Any, ...]
Columns = Sequence[Column]
Final = float | int | None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of partial aggregate.

    `fold` makes the aggregations of one partial from its column (the argument where the filter
    holds, null elsewhere; Boolean for count(*)), `finish` a sketch's storable column of the lists
    that `fold` gathered. `add` merges rows of columns into the given rows of other columns, in
    place; a row may be given several times. `merge` gets two states of this kind's width, `gather`
    several sketches. `additive`: merging is adding, column by column. `final` gets the state, the
    one of the window before (None without one) and the partial.
    """

    dtypes: tuple[type[pl.DataType], ...]
    empty: State
    fold: Callable[[pl.Expr], tuple[pl.Expr, ...]]
    add: Callable[[Columns, Ints, Columns], None]
    merge: Callable[[State, State], State]
    final: Callable[[State, State | None, Partial], Final]
    prepare: Callable[[pl.Expr], pl.Expr] = lambda argument: argument.cast(pl.Float64)
    finish: Callable[[pl.Series], list[bytes | None]] | None = None
    gather: Callable[[Sequence[bytes]], bytes] | None = None
    additive: bool = False


def _add_sums(mine: Columns, rows: Ints, theirs: Columns) -> None:
    for column, values in zip(mine, theirs, strict=True):
        np.add.at(column, rows, values)


def _add_smallest(mine: Columns, rows: Ints, theirs: Columns) -> None:
    np.fmin.at(mine[0], rows, theirs[0])  # of a number and NaN, the number


def _add_largest(mine: Columns, rows: Ints, theirs: Columns) -> None:
    np.fmax.at(mine[0], rows, theirs[0])


def _added(a: State, b: State) -> State:
    return tuple(map(add, a, b))


def _smaller(a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None or a[0] <= b[0] else b


def _larger(a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None or a[0] >= b[0] else b


def _earlier(a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None or a <= b else b


def _later(a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None or a >= b else b


def _spread_fold(x: pl.Expr) -> tuple[pl.Expr, ...]:
    n = x.count()
    return n.cast(pl.Int64), x.mean().fill_null(0.0), (x.var(ddof=0) * n).fill_null(0.0)


def _add_spreads(mine: Columns, rows: Ints, theirs: Columns) -> None:
    """The same as `_spread_merge`, over all parts of a row at once."""
    places, part = np.unique(rows, return_inverse=True)
    before = [column[places] for column in mine]
    n, mean, m2 = (np.concatenate(pair) for pair in zip(before, theirs, strict=True))
    part = np.concatenate([np.arange(len(places)), part])
    whole_n = np.bincount(part, n)
    whole = np.bincount(part, n * mean) / np.maximum(whole_n, 1)
    mine[0][places] = whole_n
    mine[1][places] = whole
    mine[2][places] = np.bincount(part, m2 + n * (mean - whole[part]) ** 2)


def _spread_merge(a: State, b: State) -> State:
    """Chan, Golub and LeVeque 1979, the pairwise update of mean and squared deviations."""
    if not a[0]:
        return b
    if not b[0]:
        return a
    n = a[0] + b[0]
    apart = b[1] - a[1]
    return (
        n,
        (a[0] * a[1] + b[0] * b[1]) / n,
        a[2] + b[2] + apart * apart * a[0] * b[0] / n,
    )


def _spread_final(state: State, _previous: State | None, _partial: Partial) -> Final:
    return math.sqrt(state[2] / (state[0] - 1)) if state[0] > 1 else None


def _timed(argument: pl.Expr) -> pl.Expr:
    value = argument.cast(pl.Float64)
    row = pl.struct(time=pl.col("_time"), offset=pl.col("_offset"), value=value)
    return pl.when(value.is_not_null()).then(row)


def _ranked(descending: bool, *order: pl.Expr) -> tuple[pl.Expr, ...]:
    # The value decides between equal offsets of two partitions: any rule does, if it is one.
    return tuple(
        column.sort_by(order, descending=descending, nulls_last=True).first() for column in order
    )


def _add_timed(mine: Columns, rows: Ints, theirs: Columns, latest: bool) -> None:
    places = np.unique(rows)
    where = np.concatenate([places, rows])
    columns = [np.concatenate([m[places], t]) for m, t in zip(mine, theirs, strict=True)]
    known = columns[0] != NO_INT
    where, columns = where[known], [column[known] for column in columns]
    order = np.lexsort((columns[2], columns[1], columns[0], where))
    if latest:
        order = order[::-1]
    places, first = np.unique(where[order], return_index=True)
    for column, values in zip(mine, columns, strict=True):
        column[places] = values[order[first]]


def _timed_fold(descending: bool, x: pl.Expr) -> tuple[pl.Expr, ...]:
    return _ranked(descending, *(x.struct.field(name) for name in ("time", "offset", "value")))


def _theta_merge(a: State, b: State) -> State:
    if a[0] is None or a == b:
        return b
    return a if b[0] is None else (sketches.theta_merged((a[0], b[0])),)


def _theta_finish(lists: pl.Series) -> list[bytes | None]:
    return [sketches.theta_of(values) for values in lists.to_list()]


def _add_sketches(
    gather: Callable[[Sequence[bytes]], bytes], mine: Columns, rows: Ints, theirs: Columns
) -> None:
    (column,) = mine
    parts: dict[int, list[bytes]] = {}
    for row, sketch in zip(rows.tolist(), theirs[0].tolist(), strict=True):
        if sketch is not None:
            parts.setdefault(row, []).append(sketch)
    for row, found in parts.items():
        if column[row] is not None:
            found.append(column[row])
        column[row] = found[0] if len(found) == 1 else gather(found)


def _buckets_merge(a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None else (sketches.buckets_merged((a[0], b[0])),)


def _first(state: State, _previous: State | None, _partial: Partial) -> Final:
    return state[0]  # type: ignore[no-any-return]


def _share(state: State, previous: State | None, _partial: Partial) -> Final:
    return None if previous is None else sketches.theta_share(previous[0], state[0])


_COUNTED = Kind(
    dtypes=(pl.Int64,),
    empty=(0,),
    prepare=lambda argument: argument,
    fold=lambda x: (x.count().cast(pl.Int64),),
    add=_add_sums,
    merge=_added,
    final=_first,
    additive=True,
)
_SUMMED = Kind(
    dtypes=(pl.Int64, pl.Float64),
    empty=(0, 0.0),
    fold=lambda x: (x.count().cast(pl.Int64), x.sum()),
    add=_add_sums,
    merge=_added,
    final=lambda state, _previous, _partial: state[1] if state[0] else None,
    additive=True,
)
_SMALLEST = Kind(
    dtypes=(pl.Float64,),
    empty=(None,),
    fold=lambda x: (x.min(),),
    add=_add_smallest,
    merge=_smaller,
    final=_first,
)
_EARLIEST = Kind(
    dtypes=(pl.Int64, pl.Int64, pl.Float64),
    empty=(None, None, None),
    prepare=_timed,
    fold=lambda x: _timed_fold(False, x),
    add=partial(_add_timed, latest=False),
    merge=_earlier,
    final=lambda state, _previous, _partial: state[2],
)
_DISTINCT = Kind(
    dtypes=(pl.Binary,),
    empty=(None,),
    prepare=lambda argument: argument,
    fold=lambda x: (x.drop_nulls().unique(),),
    finish=_theta_finish,
    add=partial(_add_sketches, sketches.theta_merged),
    gather=sketches.theta_merged,
    merge=_theta_merge,
    final=lambda state, _previous, _partial: sketches.theta_count(state[0]),
)

KINDS: Mapping[PartialKind, Kind] = {
    PartialKind.COUNT: _COUNTED,
    PartialKind.SUM: _SUMMED,
    PartialKind.MEAN: replace(
        _SUMMED,
        final=lambda state, _previous, _partial: state[1] / state[0] if state[0] else None,
    ),
    PartialKind.MIN: _SMALLEST,
    PartialKind.MAX: replace(
        _SMALLEST,
        fold=lambda x: (x.max(),),
        add=_add_largest,
        merge=_larger,
    ),
    PartialKind.STDDEV: Kind(
        dtypes=(pl.Int64, pl.Float64, pl.Float64),
        empty=(0, 0.0, 0.0),
        fold=_spread_fold,
        add=_add_spreads,
        merge=_spread_merge,
        final=_spread_final,
    ),
    PartialKind.FIRST: _EARLIEST,
    PartialKind.LAST: replace(
        _EARLIEST,
        fold=lambda x: _timed_fold(True, x),
        add=partial(_add_timed, latest=True),
        merge=_later,
    ),
    PartialKind.DISTINCT: _DISTINCT,
    PartialKind.RETENTION: replace(_DISTINCT, final=_share),
    PartialKind.QUANTILE: Kind(
        dtypes=(pl.Binary,),
        empty=(None,),
        prepare=lambda argument: sketches.bucket_key(argument.cast(pl.Float64)),
        fold=lambda x: (x.drop_nulls(),),
        finish=sketches.buckets_of,
        add=partial(_add_sketches, sketches.buckets_merged),
        gather=sketches.buckets_merged,
        merge=_buckets_merge,
        final=lambda state, _previous, partial: sketches.buckets_quantile(
            state[0], 0.5 if partial.q is None else partial.q
        ),
    ),
}
