"""The partials of one KPI in one slice, by source, until the slice is sealed.

A partial is cumulative, so a new one of a source replaces what it sent before. Columns of blocks
are kept as they arrive, and stored together in rows once there are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np

from agent.core.aggregate.aggregator import Aggregator
from agent.core.aggregate.columns import Column, to_scalars
from agent.core.aggregate.functions import State
from agent.core.aggregate.rows import PartialRows
from agent.core.frame import Block, EncodedColumn, decode_column, encode_column, join_columns
from agent.core.model.kpis import Dimensions

Admit = Callable[[bytes], Dimensions | None]
"""Maps a new key to the series of its partials; None: drop them."""

MOST_PENDING = 256
"""The number of pending rows before they are stored: many small blocks are cheaper to store at
once."""
_DROPPED = -1


class SlicePartials:
    """The partials of one slice: a row for each source and key, which belongs to a series."""

    __slots__ = (
        *("_admit", "_aggregator", "_has_dropped_keys", "_indexed", "_partials", "_pending"),
        *("_pending_rows", "_rows", "_rows_by_series", "_series"),
    )

    def __init__(self, aggregator: Aggregator, admit: Admit) -> None:
        self._aggregator = aggregator
        self._admit = admit
        self._has_dropped_keys = False
        self._rows: dict[int, dict[bytes, int]] = {}  # by source and key
        self._series: list[Dimensions] = []  # of each row
        self._rows_by_series: dict[Dimensions, tuple[int, ...]] | None = None  # built on demand
        self._indexed = 0  # the number of rows in it
        self._partials: PartialRows | None = None  # created when blocks are stored
        self._pending: dict[int, list[EncodedColumn]] = {}  # columns of blocks by source
        self._pending_rows: list[int] = []  # the rows to store them in

    def __len__(self) -> int:
        return len(self._series)

    def __contains__(self, dimensions: Dimensions) -> bool:
        return dimensions in self._rows_of()

    def update(self, block: Block, source: int) -> None:
        """Add the block of a frame."""
        is_part = len(block.columns) < len(self._aggregator.stored_dtypes)
        if source in self._pending or is_part:
            self._store_pending()  # the newer block must be stored after the older one
        known, series = self._rows.setdefault(source, {}), self._series
        pending_rows = self._pending_rows
        for key in block.keys:
            row = known.get(key)
            if row is None:
                dimensions = self._admit(key)
                if dimensions is None:
                    self._has_dropped_keys, row = True, _DROPPED
                else:
                    row = len(series)
                    series.append(dimensions)
                known[key] = row
            pending_rows.append(row)
        self._pending[source] = block.columns
        if is_part:
            self._store_pending(block.first_column)
        elif len(pending_rows) >= MOST_PENDING:
            self._store_pending()

    def _store_pending(self, first_column: int = 0) -> None:
        """Store the pending blocks, whose columns begin at `first_column`."""
        if not self._pending:
            return
        rows = np.array(self._pending_rows, np.int64)
        pending = list(zip(*self._pending.values(), strict=True))
        dtypes = self._aggregator.stored_dtypes[first_column : first_column + len(pending)]
        columns = [
            decode_column(join_columns(parts), dtype)
            for parts, dtype in zip(pending, dtypes, strict=True)
        ]
        self._pending, self._pending_rows = {}, []
        if self._partials is None:
            self._partials = PartialRows(self._aggregator)
        if len(self._series) > len(self._partials):
            self._partials.append(len(self._series) - len(self._partials))
        if self._has_dropped_keys:
            wanted = rows >= 0
            rows, columns = rows[wanted], [column[wanted] for column in columns]
        self._partials.put(rows, columns, first_column)

    def _columns(self) -> list[Column]:
        """The columns of all rows. If each row arrived only once, they are decoded directly from
        the blocks: most slices of sparse events are sealed without storing them."""
        if self._partials is None and self._pending_rows == list(range(len(self._series))):
            pending = zip(*self._pending.values(), strict=True)
            dtypes = self._aggregator.stored_dtypes
            return [
                decode_column(join_columns(parts), dtype)
                for parts, dtype in zip(pending, dtypes, strict=True)
            ]
        self._store_pending()
        return [] if self._partials is None else self._partials.columns

    def drain_changed(self) -> set[Dimensions]:
        """The series whose partials changed since the last call."""
        self._store_pending()
        if self._partials is None:
            return set()
        return {self._series[row] for row in self._partials.changed().tolist()}

    def states(
        self, only: Iterable[Dimensions] | None = None
    ) -> Iterator[tuple[Dimensions, State]]:
        """The state of every row, with its series; `only`: of these series. A series has a row
        for each source and key."""
        series, columns = self._series, self._columns()
        if only is not None:
            rows_of = self._rows_of()
            chosen = list(chain.from_iterable(rows_of.get(dimensions, ()) for dimensions in only))
            series, columns = [series[row] for row in chosen], [c[chosen] for c in columns]
        scalars = map(to_scalars, columns, self._aggregator.nullable)
        return zip(series, zip(*scalars, strict=True), strict=True)

    def partials(self) -> Iterator[tuple[int, bytes, Dimensions, State]]:
        """Every row: its source and key, its series, and its state."""
        states = list(self.states())
        for source, known in self._rows.items():
            for key, row in known.items():
                if row != _DROPPED:
                    yield source, key, *states[row]

    def blocks(
        self, kpi: str, fingerprint: str, start_ms: int, pane_ms: int | None = None
    ) -> Iterator[tuple[int, Block]]:
        """All rows, as one block for each source."""
        partials = self._columns()
        for source, known in self._rows.items():
            keys = [key for key, row in known.items() if row >= 0]
            rows = np.array([known[key] for key in keys], np.int64)
            columns = [encode_column(column[rows]) for column in partials]
            yield source, Block(kpi, fingerprint, start_ms, keys, columns, pane_ms)

    def _rows_of(self) -> dict[Dimensions, tuple[int, ...]]:
        """The rows of each series, updated with those added since the last call."""
        by_series = self._rows_by_series = (
            {} if self._rows_by_series is None else self._rows_by_series
        )
        for row in range(self._indexed, len(self._series)):
            dimensions = self._series[row]
            by_series[dimensions] = (*by_series.get(dimensions, ()), row)
        self._indexed = len(self._series)
        return by_series
