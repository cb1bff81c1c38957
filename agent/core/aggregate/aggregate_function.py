"""The definition of an aggregate function: how partials are folded, merged and finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from agent.core.aggregate.columns import Column, Ints
from agent.core.model.kpis import Partial

State = tuple[Any, ...]
Columns = Sequence[Column]
Final = float | int | None


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """An aggregate function.

    - `dtypes`: of its columns. `empty`: the state without rows.
    - `prepare`: the column to fold from the argument. It is null where the filter is not true.
    - `fold`: the aggregations of that column. With a `finish`, it collects lists, from which
      `finish` makes the columns.
    - `add`: merges columns into the given rows of other columns, in place; a row may be given
      several times.
    - `merge`: merges two states; `merge_many`: several sketches. `additive`: merging is adding,
      column by column.
    - `final`: the final value, of `final_dtype`, from the state, the state of the window before
      (None: there is none) and the partial.
    """

    dtypes: tuple[type[pl.DataType], ...]
    empty: State
    fold: Callable[[pl.Expr], tuple[pl.Expr, ...]]
    add: Callable[[Columns, Ints, Columns], None]
    merge: Callable[[State, State], State]
    final: Callable[[State, State | None, Partial], Final]
    prepare: Callable[[pl.Expr], pl.Expr] = lambda argument: argument.cast(pl.Float64)
    finish: Callable[[pl.Series], Sequence[pl.Series]] | None = None
    merge_many: Callable[[Sequence[bytes]], bytes] | None = None
    additive: bool = False
    final_dtype: type[pl.DataType] = pl.Float64


def first_column(state: State, _previous: State | None, _partial: Partial) -> Final:
    """The first column as the final value."""
    return state[0]  # type: ignore[no-any-return]
