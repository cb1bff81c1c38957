"""Folds rows into partials, which are kept by slice and series until their slices are finished.

KPIs with the same rows, dimensions, slices and placement share one table: rows are grouped once,
and a partial that several KPIs have is folded once.

Events that arrive after the slice of their time was sealed, and events with a known id, are folded
separately for each window: the window determines whether they count, and they may be stored in
a later slice than that of their time (`agent.core.fold.lateness`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import polars as pl

from agent.core.aggregate.aggregator import Aggregator
from agent.core.aggregate.columns import Column, Ints, from_polars
from agent.core.aggregate.functions import function_of
from agent.core.aggregate.rows import PartialRows
from agent.core.fold.checkpoint import SourceProgress
from agent.core.fold.lateness import (
    Bools,
    counts_everywhere,
    counts_somewhere,
    is_sealed,
    pane_starts,
    slice_starts,
)
from agent.core.fold.series_numbers import SeriesNumbers
from agent.core.frame import Block, encode_column
from agent.core.model.events import Contract
from agent.core.model.kpis import Kpi, Partial
from agent.core.model.windows import Window

KEYS = ("_partition", "_slice")
IDLE_SERIES_KEPT = 10_000
"""The number of series without an unfinished slice that stay numbered: they may have events
again."""

_NONE: Ints = np.zeros(0, np.int64)
_FIRST: Ints = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class RowsToFold:
    """Rows of a contract's table, to be folded.

    `frontiers_ms`: the frontier before each row; None if all rows are in time and none is a repeat.
    `repeats`: for each window, which rows are repeats; empty if none is.
    """

    table: pl.DataFrame
    frontiers_ms: Ints | None
    repeats: Mapping[Window, Bools]


class _SliceId(NamedTuple):
    """A slice of a source partition, by its start (ms). `window` 0: the events in time, for all
    KPIs; otherwise the events that are folded separately for the KPIs with that window, in the pane
    that starts at `pane_ms`."""

    partition: int
    start_ms: int
    window: int = 0
    pane_ms: int = 0


def group_kpis(kpis: Iterable[Kpi]) -> list[tuple[Kpi, ...]]:
    """The KPIs of one contract in groups that can share a `KpiFold`."""
    groups: dict[object, list[Kpi]] = {}
    for kpi in kpis:
        groups.setdefault((kpi.where_sql, kpi.by, kpi.slice_ms, kpi.placement), []).append(kpi)
    return [tuple(group) for group in groups.values()]


class KpiFold:
    """The unfinished partials of KPIs that share their rows, dimensions and slices
    (`group_kpis`)."""

    def __init__(
        self,
        kpis: tuple[Kpi, ...],
        contract: Contract,
        watched: Iterable[str],
        state_partitions: int,
    ) -> None:
        self.kpis = kpis
        self.contract = contract.name
        self.watched = frozenset(watched)
        self._by = kpis[0].by
        self._span_ms = kpis[0].slice_ms + contract.lateness_ms
        self._aggregator, self._columns = _shared(kpis)
        self._keys = [*KEYS, *self._by]
        self._windows: tuple[Window, ...] = tuple(dict.fromkeys(kpi.window for kpi in kpis))
        self._slices: dict[_SliceId, _Slice] = {}
        self._pending: list[tuple[int, pl.DataFrame]] = []  # with the numbers of their windows
        self._late: Counter[str] = Counter()
        self._series = SeriesNumbers(kpis[0], state_partitions)

    def fold(self, rows: RowsToFold, counted: Bools) -> list[tuple[int, pl.LazyFrame]]:
        """The partials of one batch as lazy tables, to be collected together with those of other
        KPIs; each with the number of the window that it is for (0: all). `counted`: which records
        of the batch to count as late."""
        slice_ms = self.kpis[0].slice_ms
        table = rows.table
        separate: list[tuple[int, pl.LazyFrame]] = []
        if rows.frontiers_ms is not None:
            mask = is_sealed(table["_time"].to_numpy(), rows.frontiers_ms, slice_ms)
            for window in self._windows:
                if window in rows.repeats:
                    mask |= rows.repeats[window]
            if mask.any():
                separate = list(self._fold_separately(rows, np.flatnonzero(mask), counted))
                table = table.filter(pl.Series(~mask))
        time = pl.col("_time")
        in_time = table.lazy().with_columns((time - time % slice_ms).alias("_slice"))
        return [(0, self._aggregator.fold(in_time, self._keys)), *separate]

    def _fold_separately(
        self, rows: RowsToFold, indices: Ints, counted: Bools
    ) -> Iterator[tuple[int, pl.LazyFrame]]:
        """Fold the rows at some indices, for each window that any of them counts in."""
        if rows.frontiers_ms is None:
            return
        where = self.kpis[0].where
        table, limits = rows.table[indices], rows.frontiers_ms[indices]
        times, is_counted = table["_time"].to_numpy(), counted[table["_row"].to_numpy()]
        stored = slice_starts(np.maximum(times, limits), self.kpis[0].slice_ms)
        for number, window in enumerate(self._windows, 1):
            counts = counts_somewhere(window, times, limits)
            missed = is_counted & ~counts_everywhere(window, times, limits)
            if window in rows.repeats:
                first = ~rows.repeats[window][indices]
                counts, missed = counts & first, missed & first
            if missed.any():
                lost = table.filter(pl.Series(missed))
                late = (lost if where is None else lost.filter(where)).height
                for kpi in self._kpis_of(number):
                    self._late[kpi.name] += late
            if counts.any():
                panes = pl.Series("_pane", pane_starts(window, times))
                kept = table.with_columns(pl.Series("_slice", stored), panes)
                kept = kept.filter(pl.Series(counts))
                yield number, self._aggregator.fold(kept.lazy(), [*self._keys, "_pane"])

    def buffer(self, number: int, folded: pl.DataFrame) -> None:
        """Keep the partials of one batch until the next flush."""
        if folded.height:
            self._pending.append((number, self._aggregator.finish(folded)))

    def revoke(self, partition: int) -> None:
        """Drop a source partition."""
        self._slices = {
            part: slice_ for part, slice_ in self._slices.items() if part.partition != partition
        }
        pending = ((n, t.filter(pl.col("_partition") != partition)) for n, t in self._pending)
        self._pending = [(number, table) for number, table in pending if table.height]

    def drain_late(self) -> Counter[str]:
        """The number of rows that were too late for a window since the last call, by KPI."""
        late, self._late = self._late, Counter()
        return late

    def drain_changed(
        self,
        ready: Collection[int],
        sources: Mapping[int, SourceProgress],
        unsent: Collection[int],
    ) -> Iterator[tuple[tuple[int, int], Block]]:
        """The changed partials (all partials for `unsent` source partitions) as blocks, by (source
        partition, state partition). Drops finished slices."""
        for number in sorted({number for number, _ in self._pending}):
            self._merge_pending(number, [t for n, t in self._pending if n == number])
        self._pending = []
        for part, slice_ in sorted(self._slices.items(), key=itemgetter(0)):
            source, end = sources[part.partition], part.start_ms + self._span_ms
            sent, now = source.sent_watermark_ms, source.watermark_ms
            if part.partition in ready and (sent is None or end > sent):
                rows = slice_.partials.changed()
                if part.partition in unsent:
                    rows = np.arange(len(slice_.partials))
                for target, block in self._blocks(part, slice_, rows):
                    yield (part.partition, target), block
            if now is not None and end <= now:
                del self._slices[part]
        if self._series.count > IDLE_SERIES_KEPT + 2 * sum(map(len, self._slices.values())):
            self._forget()

    def _merge_pending(self, number: int, tables: Sequence[pl.DataFrame]) -> None:
        """Merge the partials of the last batches into those of their slices."""
        table = pl.concat(tables)
        numbers = self._series.numbers_of(table)
        columns = [from_polars(table[name]) for name in self._aggregator.columns()]
        sources, starts = table["_partition"].to_numpy(), table["_slice"].to_numpy()
        keys = [sources, (starts - starts.min()) // self.kpis[0].slice_ms]
        if number:
            panes, pane_index = np.unique(table["_pane"].to_numpy(), return_inverse=True)
            keys.append(pane_index)
        order, spans = _group_rows(*keys)
        for at, to in spans:
            rows = order[at:to]
            first = rows[0]
            pane = int(panes[pane_index[first]]) if number else 0
            part = _SliceId(int(sources[first]), int(starts[first]), number, pane)
            slice_ = self._slices.get(part)
            if slice_ is None and (len(tables) == 1 or to - at == 1):  # one row per series
                if to - at > 1:
                    rows = rows[np.argsort(numbers[rows])]
                partials = PartialRows(self._aggregator, [column[rows] for column in columns])
                self._slices[part] = _Slice(numbers[rows], partials)
                continue
            if slice_ is None:
                slice_ = self._slices[part] = _Slice(_NONE, PartialRows(self._aggregator))
            slice_.add(numbers[rows], [column[rows] for column in columns], self._series.count)

    @property
    def shortened(self) -> int:
        """The number of series with a shortened dimension value."""
        return self._series.shortened

    def _kpis_of(self, number: int) -> Iterator[Kpi]:
        """The KPIs with the window of this number; 0: all KPIs."""
        for kpi in self.kpis:
            if not number or kpi.window == self._windows[number - 1]:
                yield kpi

    def _blocks(self, part: _SliceId, slice_: _Slice, rows: Ints) -> Iterator[tuple[int, Block]]:
        """Rows of a slice's partials as blocks by state partition."""
        if not len(rows):
            return
        targets = self._series.partitions[slice_.numbers[rows]]
        order, parts = _group_rows(targets)
        rows = rows[order]
        keys = self._series.keys[slice_.numbers[rows]].tolist()
        columns = [encode_column(column[rows]) for column in slice_.partials.columns]
        by_name = dict(zip(self._aggregator.columns(), columns, strict=True))
        pane_ms = part.pane_ms if part.window else None
        whole = [
            Block(
                kpi.name,
                kpi.fingerprint,
                part.start_ms,
                keys,
                [by_name[name] for name in self._columns[kpi.name]],
                pane_ms,
            )
            for kpi in self._kpis_of(part.window)
        ]
        for at, to in parts:
            target = int(targets[order[at]])
            for block in whole:
                yield target, block if to - at == len(rows) else block.rows(at, to)

    def _forget(self) -> None:
        """Drop the numbers of series without an unfinished slice."""
        numbers = [slice_.numbers for slice_ in self._slices.values()]
        kept = np.unique(np.concatenate([_NONE, *numbers]))
        for slice_ in self._slices.values():
            slice_.renumber(kept)
        self._series.keep(kept)


class _Slice:
    """The unfinished partials of one slice of a source partition: row i is the series with the
    number `numbers[i]`."""

    def __init__(self, numbers: Ints, partials: PartialRows) -> None:
        self.numbers = numbers
        self.partials = partials
        self._rows = np.zeros(0, np.int32)  # by number; -1: none

    def __len__(self) -> int:
        return len(self.partials)

    def add(self, numbers: Ints, columns: Sequence[Column], count: int) -> None:
        """Merge the partials of series with these numbers, which are below `count`."""
        if count > len(self._rows):
            self._index(count)
        rows = self._rows[numbers]
        if (rows < 0).any():
            new = np.unique(numbers[rows < 0])
            self._rows[new] = np.arange(len(self), len(self) + len(new))
            self.numbers = np.concatenate([self.numbers, new])
            self.partials.append(len(new))
            rows = self._rows[numbers]
        self.partials.add(rows.astype(np.int64), columns)

    def renumber(self, kept: Ints) -> None:
        """Change the numbers of series: number `kept[i]` becomes i."""
        self.numbers = np.searchsorted(kept, self.numbers)
        self._index(len(kept))

    def _index(self, count: int) -> None:
        """Index the rows by series number, up to `count`."""
        self._rows = np.full(count, -1, np.int32)
        self._rows[self.numbers] = np.arange(len(self.numbers))


def _group_rows(*columns: Ints) -> tuple[Ints, list[tuple[int, int]]]:
    """Group rows (at least one) by key columns of small numbers that are not negative. Returns the
    order of the rows by key, and the spans of equal keys in that order."""
    if len(columns[0]) == 1:
        return _FIRST, [(0, 1)]
    code = columns[0].astype(np.int64)
    for column in columns[1:]:
        code = code * (int(column.max()) + 1) + column
    if (code == code[0]).all():  # always for state partitions, if there is only one
        return np.arange(len(code)), [(0, len(code))]
    if code.max() < 65_536:
        code = code.astype(np.uint16)  # radix sort, ten times as fast
    order = np.argsort(code, kind="stable")
    ordered = code[order]
    edges = (np.flatnonzero(ordered[1:] != ordered[:-1]) + 1).tolist()
    return order, list(pairwise([0, *edges, len(order)]))


def _shared(kpis: tuple[Kpi, ...]) -> tuple[Aggregator, dict[str, list[str]]]:
    """One aggregator for all different partials of some KPIs, and the columns of each KPI."""
    distinct: list[Partial] = []
    indices: dict[str, list[int]] = {}
    for kpi in kpis:
        own = indices.setdefault(kpi.name, [])
        for partial in kpi.partials:
            same = (i for i, other in enumerate(distinct) if _folds_alike(partial, other))
            index = next(same, len(distinct))
            if index == len(distinct):
                distinct.append(partial)
            own.append(index)
    aggregator = Aggregator(replace(kpis[0], partials=tuple(distinct)))
    spans = aggregator.columns_of()
    columns = {kpi: [name for i in own for name in spans[i]] for kpi, own in indices.items()}
    return aggregator, columns


def _folds_alike(a: Partial, b: Partial) -> bool:
    """Whether two partials have the same state; their final values may differ."""
    function, other = function_of(a), function_of(b)
    return (
        function.fold is other.fold
        and function.prepare is other.prepare
        and _same(a.argument, b.argument)
        and _same(a.filter, b.filter)
    )


def _same(a: pl.Expr | None, b: pl.Expr | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.meta.eq(b)
