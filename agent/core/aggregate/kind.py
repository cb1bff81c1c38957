"""What a kind of partial aggregate is: how rows fold, how partials merge, what they say."""

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


def first_column(state: State, _previous: State | None, _partial: Partial) -> Final:
    """The final value of a kind whose first column it is."""
    return state[0]  # type: ignore[no-any-return]
