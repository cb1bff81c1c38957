"""The kinds of partial aggregates: how rows fold, how partials merge, what they say.

`KINDS` has every kind, `WHOLE_KINDS` those that are others over integers; `kind_of` chooses. A
state is a tuple of Python scalars, one for each of the kind's columns:

| kind | columns | final value |
|---|---|---|
| COUNT | n | n |
| SUM, MEAN | n, sum; of integers n, sum of high halves, sum of low ones | null without values |
| MIN, MAX | value; of integers n, value | |
| STDDEV | n, base, mean above it, sum of squared deviations | of a sample; null under two values |
| FIRST, LAST | event time ms, offset, value | of the non-null values |
| DISTINCT, RETENTION | theta sketch | `core/aggregate/sketches.py` states the errors |
| QUANTILE | the values, or a log-bucket sketch | |

Of integers every final but the mean is a Python int, however large. The base of a standard
deviation is the least value: what is above it keeps its digits wherever zero is, and equal values
deviate by 0 exactly.

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
from agent.core.model.kpis import Partial, PartialKind

State = tuple[Any, ...]
Columns = Sequence[Column]
Final = float | int | None

LAYOUT = 2
"""Changes when the columns of a kind, or what they mean, do: part of every KPI's fingerprint, so
that no state of another layout is read."""

_HALF = 2**32
SMALLEST_INT, LARGEST_INT = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of partial aggregate.

    `fold` makes the aggregations of one partial from its column (the argument where the filter
    holds, null elsewhere; Boolean for count(*)). With a `finish` it gathers lists, of which
    `finish` makes the columns. `add` merges rows of columns into the given rows of other columns,
    in place; a row may be given several times. `merge` gets two states of this kind's width,
    `gather` several sketches. `additive`: merging is adding, column by column. `final` gets the
    state, the one of the window before (None without one) and the partial, and gives what
    `final_dtype` holds.
    """

    dtypes: tuple[type[pl.DataType], ...]
    empty: State
    fold: Callable[[pl.Expr], tuple[pl.Expr, ...]]
    add: Callable[[Columns, Ints, Columns], None]
    merge: Callable[[State, State], State]
    final: Callable[[State, State | None, Partial], Final]
    prepare: Callable[[pl.Expr], pl.Expr] = lambda argument: argument.cast(pl.Float64)
    finish: Callable[[pl.Series], Sequence[pl.Series]] | None = None
    gather: Callable[[Sequence[bytes]], bytes] | None = None
    additive: bool = False
    final_dtype: type[pl.DataType] = pl.Float64


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


def _spread_final(state: State, _previous: State | None, _partial: Partial) -> Final:
    return math.sqrt(state[3] / (state[0] - 1)) if state[0] > 1 else None


def _whole_sum_fold(x: pl.Expr) -> tuple[pl.Expr, ...]:
    # Two halves of 32 bits: neither sum leaves 64 bits before two thousand million rows.
    return x.count().cast(pl.Int64), (x // _HALF).sum(), (x & (_HALF - 1)).sum()


def _whole_sum(state: State) -> int:
    return int(state[1] * _HALF + state[2])


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


def _timed(value: pl.Expr) -> pl.Expr:
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


def _whole_timed_fold(descending: bool, x: pl.Expr) -> tuple[pl.Expr, ...]:
    time, offset, value = _timed_fold(descending, x)
    return time, offset, value.fill_null(0)


def _theta_merge(a: State, b: State) -> State:
    if a[0] is None or a == b:
        return b
    return a if b[0] is None else (sketches.theta_merged((a[0], b[0])),)


def _theta_finish(lists: pl.Series) -> Sequence[pl.Series]:
    return [pl.Series([sketches.theta_of(values) for values in lists.to_list()], dtype=pl.Binary)]


def _quantile_finish(lists: pl.Series) -> Sequence[pl.Series]:
    return [pl.Series(sketches.quantiles_of(lists), dtype=pl.Binary)]


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


def _quantile_merge(a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None else (sketches.quantiles_merged((a[0], b[0])),)


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
    final_dtype=pl.Int64,
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
    prepare=lambda argument: _timed(argument.cast(pl.Float64)),
    fold=partial(_timed_fold, False),
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
        dtypes=(pl.Int64, pl.Float64, pl.Float64, pl.Float64),
        empty=(0, 0.0, 0.0, 0.0),
        fold=lambda x: (x.drop_nulls(),),
        finish=_spread_finish,
        add=_add_spreads,
        merge=_spread_merge,
        final=_spread_final,
    ),
    PartialKind.FIRST: _EARLIEST,
    PartialKind.LAST: replace(
        _EARLIEST,
        fold=partial(_timed_fold, True),
        add=partial(_add_timed, latest=True),
        merge=_later,
    ),
    PartialKind.DISTINCT: _DISTINCT,
    PartialKind.RETENTION: replace(_DISTINCT, final=_share),
    PartialKind.QUANTILE: Kind(
        dtypes=(pl.Binary,),
        empty=(None,),
        fold=lambda x: (x.drop_nulls(),),
        finish=_quantile_finish,
        add=partial(_add_sketches, sketches.quantiles_merged),
        gather=sketches.quantiles_merged,
        merge=_quantile_merge,
        final=lambda state, _previous, partial: sketches.quantile(
            state[0], 0.5 if partial.q is None else partial.q
        ),
    ),
}

_WHOLE_SUMMED = Kind(
    dtypes=(pl.Int64, pl.Int64, pl.Int64),
    empty=(0, 0, 0),
    prepare=lambda argument: argument,
    fold=_whole_sum_fold,
    add=_add_sums,
    merge=_added,
    final=lambda state, _previous, _partial: _whole_sum(state) if state[0] else None,
    additive=True,
    final_dtype=pl.Int128,
)
_WHOLE_SMALLEST = Kind(
    dtypes=(pl.Int64, pl.Int64),
    empty=(0, LARGEST_INT),
    prepare=lambda argument: argument,
    fold=_whole_smallest_fold,
    add=_add_whole_smallest,
    merge=lambda a, b: (a[0] + b[0], min(a[1], b[1])),
    final=_counted_second,
    final_dtype=pl.Int128,
)
_WHOLE_EARLIEST = Kind(
    dtypes=(pl.Int64, pl.Int64, pl.Int64),
    empty=(None, None, 0),
    prepare=_timed,
    fold=partial(_whole_timed_fold, False),
    add=partial(_add_timed, latest=False),
    merge=_earlier,
    final=lambda state, _previous, _partial: None if state[0] is None else state[2],
    final_dtype=pl.Int128,
)
WHOLE_KINDS: Mapping[PartialKind, Kind] = {
    PartialKind.SUM: _WHOLE_SUMMED,
    PartialKind.MEAN: replace(
        _WHOLE_SUMMED,
        # Of Python's integers this is rounded once, whatever their size.
        final=lambda state, _previous, _partial: _whole_sum(state) / state[0] if state[0] else None,
        final_dtype=pl.Float64,
    ),
    PartialKind.MIN: _WHOLE_SMALLEST,
    PartialKind.MAX: replace(
        _WHOLE_SMALLEST,
        empty=(0, SMALLEST_INT),
        fold=_whole_largest_fold,
        add=_add_whole_largest,
        merge=lambda a, b: (a[0] + b[0], max(a[1], b[1])),
    ),
    PartialKind.FIRST: _WHOLE_EARLIEST,
    PartialKind.LAST: replace(
        _WHOLE_EARLIEST,
        fold=partial(_whole_timed_fold, True),
        add=partial(_add_timed, latest=True),
        merge=_later,
    ),
}
"""The kinds that are others over integers."""


def kind_of(partial: Partial) -> Kind:
    """The kind of a partial, by what its argument is."""
    return (partial.whole and WHOLE_KINDS.get(partial.kind)) or KINDS[partial.kind]
