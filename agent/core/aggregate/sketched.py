"""Aggregates whose state is a sketch: bytes, or None without values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import polars as pl

from agent.core.aggregate import sketches, value_counts
from agent.core.aggregate.aggregate_function import AggregateFunction, Columns, Final, State
from agent.core.aggregate.columns import Ints
from agent.core.model.kpis import Partial, PartialKind

_MergeMany = Callable[[Sequence[bytes]], bytes]


def _add(merge_many: _MergeMany, mine: Columns, rows: Ints, theirs: Columns) -> None:
    (column,) = mine
    parts: dict[int, list[bytes]] = {}
    for row, sketch in zip(rows.tolist(), theirs[0].tolist(), strict=True):
        if sketch is not None:
            parts.setdefault(row, []).append(sketch)
    for row, known in parts.items():
        if column[row] is not None:
            known.append(column[row])
        column[row] = merge_many(known)


def _merge(merge_many: _MergeMany, a: State, b: State) -> State:
    if a[0] is None:
        return b
    return a if b[0] is None else (merge_many((a[0], b[0])),)


def _function(
    sketches_of: Callable[[pl.Series], list[bytes | None]],
    merge_many: _MergeMany,
    final: Callable[[State, State | None, Partial], Final],
    *,
    fold: Callable[[pl.Expr], pl.Expr] = pl.Expr.drop_nulls,
    prepare: Callable[[pl.Expr], pl.Expr] = lambda argument: argument.cast(pl.Float64),
    merge: Callable[[State, State], State] | None = None,
    final_dtype: type[pl.DataType] = pl.Float64,
) -> AggregateFunction:
    return AggregateFunction(
        dtypes=(pl.Binary,),
        empty=(None,),
        prepare=prepare,
        fold=lambda x: (fold(x),),
        finish=lambda lists: [pl.Series(sketches_of(lists), dtype=pl.Binary)],
        add=partial(_add, merge_many),
        merge_many=merge_many,
        merge=merge or partial(_merge, merge_many),
        final=final,
        final_dtype=final_dtype,
    )


def _retained(state: State, previous: State | None, _partial: Partial) -> Final:
    return None if previous is None else sketches.theta_share(previous[0], state[0])


def _set_function(final: Callable[[State, State | None, Partial], Final]) -> AggregateFunction:
    return _function(
        lambda lists: [sketches.theta_of(values) for values in lists.to_list()],
        sketches.theta_merged,
        final,
        fold=lambda x: x.drop_nulls().unique(),
        prepare=lambda argument: argument,
        merge=lambda a, b: a if a == b else _merge(sketches.theta_merged, a, b),
    )


def _quantile_function(compute: Callable[[bytes | None, float], Final]) -> AggregateFunction:
    return _function(
        sketches.quantiles_of,
        sketches.quantiles_merged,
        lambda state, _, of: compute(state[0], 0.5 if of.q is None else of.q),
    )


def _values_function(
    compute: Callable[[bytes | None, bool], Final], whole: bool, exact: bool = True
) -> AggregateFunction:
    return _function(
        value_counts.counts_of,
        value_counts.merged,
        lambda state, *_: compute(state[0], whole),
        prepare=(lambda argument: argument) if whole else (lambda x: x.cast(pl.Float64)),
        final_dtype=pl.Int128 if whole and exact else pl.Float64,
    )


SKETCHED: Mapping[PartialKind, AggregateFunction] = {
    PartialKind.DISTINCT: _set_function(lambda state, *_: sketches.theta_count(state[0])),
    PartialKind.RETENTION: _set_function(_retained),
    PartialKind.QUANTILE: _quantile_function(sketches.quantile),
    PartialKind.QUANTILE_CONT: _quantile_function(sketches.quantile_cont),
    PartialKind.MODE: _values_function(value_counts.mode, whole=False),
    PartialKind.SUM_DISTINCT: _values_function(value_counts.sum_distinct, whole=False),
    PartialKind.MEAN_DISTINCT: _values_function(value_counts.mean_distinct, whole=False),
}
WHOLE_SKETCHED: Mapping[PartialKind, AggregateFunction] = {
    PartialKind.MODE: _values_function(value_counts.mode, whole=True),
    PartialKind.SUM_DISTINCT: _values_function(value_counts.sum_distinct, whole=True),
    PartialKind.MEAN_DISTINCT: _values_function(
        value_counts.mean_distinct, whole=True, exact=False
    ),
}
