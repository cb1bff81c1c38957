"""The partials of one KPI's slice, as frames tell of them, until the slice is final.

A partial is cumulative, so the newest one of a source replaces what it told before. Kept as
columns: a frame's rows are found by their keys and written all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.aggregates import Aggregator
from agent.core.frame import FLOAT, INT, NO_INT, Block, read_column, written_column
from agent.core.kinds import State
from agent.core.plan import Dimensions

Admit = Callable[[bytes], Dimensions | None]
"""Which series the partials of a new key go to; None: they are not wanted."""

DTYPES: dict[type[pl.DataType], np.dtype[Any]] = {
    pl.Int64: INT,
    pl.Float64: FLOAT,
    pl.Binary: np.dtype(object),
}
ROOM = 8
"""Rows of a new slice."""
_UNWANTED = -1
_UNKNOWN = -2


class SlicePartials:
    """The partials of one slice: a row for each key of each source, and the series it goes to."""

    __slots__ = ("_admit", "_columns", "_homes", "_news", "_nullable", "_of_home", "_rows")

    def __init__(self, aggregator: Aggregator, admit: Admit) -> None:
        self._admit = admit
        self._rows: dict[int, _Rows] = {}
        self._homes: list[Dimensions] = []
        self._of_home: dict[Dimensions, tuple[int, ...]] = {}
        self._columns = [np.zeros(ROOM, DTYPES[dtype]) for dtype in aggregator.dtypes()]
        self._nullable = [value is None for value in aggregator.empty()]
        self._news = np.zeros(ROOM, np.bool_)

    def __len__(self) -> int:
        return len(self._homes)

    def __contains__(self, home: Dimensions) -> bool:
        return home in self._of_home

    def take(self, block: Block, source: int) -> None:
        """Take a frame's rows of this slice."""
        rows = self._places(block.keys, source)
        wanted = rows >= 0
        every = bool(wanted.all())
        if not every:
            rows = rows[wanted]
        for mine, column in zip(self._columns, block.columns, strict=True):
            theirs = read_column(column, mine.dtype)
            mine[rows] = theirs if every else theirs[wanted]
        self._news[rows] = True

    def news(self) -> set[Dimensions]:
        """The series of the rows that were taken since the last call."""
        rows = np.flatnonzero(self._news)
        self._news[rows] = False
        return {self._homes[row] for row in rows.tolist()}

    def states(self, of: Iterable[Dimensions] | None = None) -> Iterator[tuple[Dimensions, State]]:
        """Every row as the series it goes to and its state; of some series only, if they are named.
        A series has one row for each key and source."""
        homes, columns = self._homes, [column[: len(self._homes)] for column in self._columns]
        if of is not None:
            chosen = list(chain.from_iterable(self._of_home.get(home, ()) for home in of))
            homes, columns = [homes[row] for row in chosen], [c[chosen] for c in columns]
        scalars = map(_scalars, columns, self._nullable)
        return zip(homes, zip(*scalars, strict=True), strict=True)

    def blocks(self, kpi: str, fingerprint: str, start_ms: int) -> Iterator[tuple[int, Block]]:
        """All of it, as one block for each source."""
        for source, known in self._rows.items():
            keys = [key for key, row in known.items() if row >= 0]
            rows = np.array([known[key] for key in keys], np.int64)
            columns = [written_column(column[rows]) for column in self._columns]
            yield source, Block(kpi, fingerprint, start_ms, keys, columns)

    def _places(self, keys: Sequence[bytes], source: int) -> npt.NDArray[np.int64]:
        """The row of each key; negative where it is not wanted."""
        known = self._rows.get(source)
        if known is None:
            known = self._rows[source] = _Rows()
        rows = np.fromiter(map(known.__getitem__, keys), np.int64, len(keys))
        unknown = np.flatnonzero(rows == _UNKNOWN)
        if len(unknown):
            for place in unknown.tolist():
                rows[place] = known[keys[place]] = self._admitted(keys[place])
            self._make_room()
        return rows

    def _admitted(self, key: bytes) -> int:
        home = self._admit(key)
        if home is None:
            return _UNWANTED
        row = len(self._homes)
        self._homes.append(home)
        self._of_home[home] = (*self._of_home.get(home, ()), row)
        return row

    def _make_room(self) -> None:
        room = len(self._news)
        if len(self._homes) > room:
            more = max(len(self._homes) - room, room)
            self._columns = [np.concatenate([c, np.zeros(more, c.dtype)]) for c in self._columns]
            self._news = np.concatenate([self._news, np.zeros(more, np.bool_)])


class _Rows(dict[bytes, int]):
    """The row of each key that one source has told of."""

    def __missing__(self, key: bytes) -> int:
        return _UNKNOWN


def _scalars(column: npt.NDArray[Any], nullable: bool) -> Sequence[Any]:
    """Python's numbers, None where there is none."""
    found: list[Any] = column.tolist()
    if not nullable or column.dtype == object:
        return found
    if column.dtype == INT:
        return [None if one == NO_INT else one for one in found]
    return [None if isnan(one) else one for one in found]
