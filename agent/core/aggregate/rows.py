"""Partial states as rows of columns, for many series at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.core.aggregate.aggregator import Aggregator
from agent.core.aggregate.columns import Column, Ints

INITIAL_ROWS = 8
"""The initial capacity."""


class PartialRows:
    """A growing table of partial states, one row per series, that tracks which rows changed."""

    __slots__ = ("_aggregator", "_changed", "_columns", "_count")

    def __init__(self, aggregator: Aggregator, columns: Sequence[Column] = ()) -> None:
        """`columns`: the first rows (at least one), of the aggregator's stored dtypes; they are not
        copied."""
        dtypes = aggregator.stored_dtypes
        self._aggregator = aggregator
        self._columns = list(columns) or [np.empty(INITIAL_ROWS, dtype) for dtype in dtypes]
        self._count = len(columns[0]) if columns else 0
        self._changed = np.full(self._count or INITIAL_ROWS, bool(columns), np.bool_)

    def __len__(self) -> int:
        return self._count

    @property
    def columns(self) -> list[Column]:
        """The columns: views, not copies."""
        return [column[: self._count] for column in self._columns]

    def append(self, count: int) -> None:
        """Add empty rows."""
        first, self._count = self._count, self._count + count
        missing = self._count - len(self._changed)
        if missing > 0:
            more = max(missing, len(self._changed))
            self._columns = [np.concatenate([c, np.empty(more, c.dtype)]) for c in self._columns]
            self._changed = np.concatenate([self._changed, np.zeros(more, np.bool_)])
        for column, nothing in zip(self._columns, self._aggregator.stored_empty, strict=True):
            column[first : self._count] = nothing

    def put(self, rows: Ints, columns: Sequence[Column], first_column: int = 0) -> None:
        """Replace rows, or their columns from `first_column` on."""
        for index, theirs in enumerate(columns, first_column):
            self._columns[index][rows] = theirs
        self._changed[rows] = True

    def add(self, rows: Ints, columns: Sequence[Column]) -> None:
        """Merge states into rows; a row may be given several times."""
        self._aggregator.add(self._columns, rows, columns)
        self._changed[rows] = True

    def changed(self) -> Ints:
        """The rows that changed since the last call, ascending."""
        (rows,) = self._changed.nonzero()
        self._changed[rows] = False
        return rows
