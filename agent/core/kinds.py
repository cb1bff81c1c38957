"""The kinds of partial aggregates: how rows fold, folded rows combine, states merge, what they say.

`KINDS` has every kind. A state is a tuple of Python scalars, one for each of the kind's columns:

| kind | columns | final value |
|---|---|---|
| COUNT | n | n |
| SUM, MEAN | n, sum | null without values |
| MIN, MAX | value | |
| STDDEV | n, mean, sum of squared deviations | of a sample; null under two values |
| FIRST, LAST | event time ms, offset, value | of the non-null values |
| DISTINCT, RETENTION | theta sketch | `core/sketches.py` states the errors |
| QUANTILE | log-bucket sketch | |

Merging is associative and commutative: exactly, but for the rounding of floating-point sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import add
from typing import Any

import polars as pl

from agent.core import sketches
from agent.core.plan import Partial, PartialKind

State = tuple[Any, ...]
Final = float | int | None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of partial aggregate.

    `fold` makes the aggregations of one partial from its column (the argument where the filter
    holds, null elsewhere; Boolean for count(*)); `combine` those of columns folded before.
    `finish` makes a sketch's storable column of the lists that `fold` gathered, `gather` of the
    lists of sketches that `combine` did. `merge` gets two states of this kind's width. `additive`:
    merging is adding, column by column. `final` gets the state, the one of the window before
    (None without one) and the partial.
    """

    dtypes: tuple[type[pl.DataType], ...]
    empty: State
    fold: Callable[[pl.Expr], tuple[pl.Expr, ...]]
    combine: Callable[..., tuple[pl.Expr, ...]]
    merge: Callable[[State, State], State]
    final: Callable[[State, State | None, Partial], Final]
    prepare: Callable[[pl.Expr], pl.Expr] = lambda argument: argument.cast(pl.Float64)
    finish: Callable[[pl.Series], list[bytes | None]] | None = None
    gather: Callable[[Sequence[bytes]], bytes] | None = None
    additive: bool = False


def _summed(*columns: pl.Expr) -> tuple[pl.Expr, ...]:
    return tuple(column.sum() for column in columns)


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


def _spread_combine(n: pl.Expr, mean: pl.Expr, m2: pl.Expr) -> tuple[pl.Expr, ...]:
    whole = pl.when(n.sum() > 0).then((mean * n).sum() / n.sum()).otherwise(0.0)
    return n.sum(), whole, m2.sum() + (n * (mean - whole) ** 2).sum()


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


def _timed_fold(descending: bool, x: pl.Expr) -> tuple[pl.Expr, ...]:
    return _ranked(descending, *(x.struct.field(name) for name in ("time", "offset", "value")))


def _theta_merge(a: State, b: State) -> State:
    if a[0] is None or a == b:
        return b
    return a if b[0] is None else (sketches.theta_merged((a[0], b[0])),)


def _theta_finish(lists: pl.Series) -> list[bytes | None]:
    return [sketches.theta_of(values) for values in lists.to_list()]


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
    combine=_summed,
    merge=_added,
    final=_first,
    additive=True,
)
_SUMMED = Kind(
    dtypes=(pl.Int64, pl.Float64),
    empty=(0, 0.0),
    fold=lambda x: (x.count().cast(pl.Int64), x.sum()),
    combine=_summed,
    merge=_added,
    final=lambda state, _previous, _partial: state[1] if state[0] else None,
    additive=True,
)
_SMALLEST = Kind(
    dtypes=(pl.Float64,),
    empty=(None,),
    fold=lambda x: (x.min(),),
    combine=lambda x: (x.min(),),
    merge=_smaller,
    final=_first,
)
_EARLIEST = Kind(
    dtypes=(pl.Int64, pl.Int64, pl.Float64),
    empty=(None, None, None),
    prepare=_timed,
    fold=lambda x: _timed_fold(False, x),
    combine=lambda *columns: _ranked(False, *columns),
    merge=_earlier,
    final=lambda state, _previous, _partial: state[2],
)
_DISTINCT = Kind(
    dtypes=(pl.Binary,),
    empty=(None,),
    prepare=lambda argument: argument,
    fold=lambda x: (x.drop_nulls().unique(),),
    finish=_theta_finish,
    combine=lambda x: (x.drop_nulls(),),
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
        combine=lambda x: (x.max(),),
        merge=_larger,
    ),
    PartialKind.STDDEV: Kind(
        dtypes=(pl.Int64, pl.Float64, pl.Float64),
        empty=(0, 0.0, 0.0),
        fold=_spread_fold,
        combine=_spread_combine,
        merge=_spread_merge,
        final=_spread_final,
    ),
    PartialKind.FIRST: _EARLIEST,
    PartialKind.LAST: replace(
        _EARLIEST,
        fold=lambda x: _timed_fold(True, x),
        combine=lambda *columns: _ranked(True, *columns),
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
        combine=lambda x: (x.drop_nulls(),),
        gather=sketches.buckets_merged,
        merge=_buckets_merge,
        final=lambda state, _previous, partial: sketches.buckets_quantile(
            state[0], 0.5 if partial.q is None else partial.q
        ),
    ),
}
