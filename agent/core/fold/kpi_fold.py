"""The unfinished partials of KPIs on their way into frames.

KPIs over the same rows of a contract, by the same dimensions, in the same slices and placed alike
share one table: their keys are grouped once, and a partial that several ask for is folded once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl

from agent.core.aggregate.aggregator import Aggregator
from agent.core.aggregate.columns import Column, Ints, of_objects, of_polars
from agent.core.aggregate.functions import kind_of
from agent.core.aggregate.rows import PartialRows
from agent.core.fold.checkpoint import SourceProgress
from agent.core.frame import Block, series_key, state_partition, written
from agent.core.model.plan import Contract, Dimensions, Kpi, Partial, dimension_of

KEYS = ("_partition", "_slice")
FORGOTTEN_KEPT = 10_000
"""How many series that have no unfinished slice are known still: they may come again."""

_NUMBER = "_number"
_NONE: Ints = np.zeros(0, np.int64)


def sharing(kpis: Iterable[Kpi]) -> list[tuple[Kpi, ...]]:
    """KPIs of one contract, those together that can share a `KpiFold`."""
    groups: dict[object, list[Kpi]] = {}
    for kpi in kpis:
        groups.setdefault((kpi.where_sql, kpi.by, kpi.slice_ms, kpi.placement), []).append(kpi)
    return [tuple(group) for group in groups.values()]


class KpiFold:
    """The unfinished partials of KPIs that share their rows, dimensions and slices (`sharing`)."""

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
        self._slices: dict[tuple[int, int], _Slice] = {}  # by source partition and start (ms)
        self._pending: list[pl.DataFrame] = []
        self._series = _SeriesNumbers(kpis[0], state_partitions)

    def fold(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The partials of one batch, lazily: all KPIs are collected together."""
        slice_ms = self.kpis[0].slice_ms
        time = pl.col("_time")
        return self._aggregator.fold(
            rows.with_columns((time - time % slice_ms).alias("_slice")), self._keys
        )

    def take(self, folded: pl.DataFrame) -> None:
        """Keep the partials of one batch until the next flush."""
        if folded.height:
            self._pending.append(self._aggregator.finish(folded))

    def revoke(self, partition: int) -> None:
        """Forget a source partition."""
        self._slices = {key: one for key, one in self._slices.items() if key[0] != partition}
        pending = (t.filter(pl.col("_partition") != partition) for t in self._pending)
        self._pending = [table for table in pending if table.height]

    def changed(
        self,
        telling: Collection[int],
        sources: Mapping[int, SourceProgress],
        fresh: Collection[int],
    ) -> Iterator[tuple[tuple[int, int], Block]]:
        """The changed partials as blocks by (source partition, state partition), those of `fresh`
        source partitions whole; then forget the partials of finished slices."""
        if self._pending:
            self._take_pending()
        for (partition, start), one in sorted(self._slices.items()):
            source, end = sources[partition], start + self._span_ms
            told, now = source.told_watermark_ms, source.watermark_ms
            if partition in telling and (told is None or end > told):
                rows = one.partials.changed()
                if partition in fresh:
                    rows = np.arange(len(one.partials))
                for place, block in self._blocks(start, one, rows):
                    yield (partition, place), block
            if now is not None and end <= now:
                del self._slices[partition, start]
        if self._series.count > FORGOTTEN_KEPT + 2 * sum(map(len, self._slices.values())):
            self._forget()

    def _take_pending(self) -> None:
        """Merge the partials of the last batches into those of their slices."""
        table = pl.concat(self._pending)
        self._pending = []
        numbers = self._series.of(table)
        columns = [of_polars(table[name]) for name in self._aggregator.columns()]
        sources, starts = table["_partition"].to_numpy(), table["_slice"].to_numpy()
        order, parts = _apart(sources, (starts - starts.min()) // self.kpis[0].slice_ms)
        for at, to in parts:
            rows = order[at:to]
            key = int(sources[rows[0]]), int(starts[rows[0]])
            one = self._slices.get(key)
            if one is None:
                one = self._slices[key] = _Slice(self._aggregator)
            one.add(numbers[rows], [column[rows] for column in columns], self._series.count)

    def _blocks(self, start_ms: int, one: _Slice, rows: Ints) -> Iterator[tuple[int, Block]]:
        """Rows of a slice's partials, apart by state partition."""
        if not len(rows):
            return
        places = self._series.places[one.numbers[rows]]
        order, parts = _apart(places)
        rows = rows[order]
        keys = self._series.keys[one.numbers[rows]].tolist()
        columns = [written(column[rows]) for column in one.partials.columns]
        made = dict(zip(self._aggregator.columns(), columns, strict=True))
        whole = [
            Block(kpi.name, kpi.fingerprint, start_ms, keys, [made[name] for name in names])
            for kpi, names in zip(self.kpis, self._columns, strict=True)
        ]
        for at, to in parts:
            place = int(places[order[at]])
            for block in whole:
                yield place, block.rows(at, to)

    def _forget(self) -> None:
        """Forget the series without an unfinished slice."""
        numbers = [one.numbers for one in self._slices.values()]
        kept = np.unique(np.concatenate([_NONE, *numbers]))
        for one in self._slices.values():
            one.renumber(kept)
        self._series.keep(kept)


class _Slice:
    """The unfinished partials of one slice of a source partition: of the series with the number
    `numbers[i]`, row i has the partial."""

    def __init__(self, aggregator: Aggregator) -> None:
        self.numbers = _NONE
        self.partials = PartialRows(aggregator)
        self._rows = np.zeros(0, np.int32)  # by number; -1: none. Small, as there may be many

    def __len__(self) -> int:
        return len(self.partials)

    def add(self, numbers: Ints, columns: Sequence[Column], count: int) -> None:
        """Merge in the partials of series with these numbers, below `count`."""
        if count > len(self._rows):
            none = np.full(count - len(self._rows), -1, np.int32)
            self._rows = np.concatenate([self._rows, none])
        rows = self._rows[numbers]
        if (rows < 0).any():
            fresh = np.unique(numbers[rows < 0])
            self._rows[fresh] = np.arange(len(self), len(self) + len(fresh))
            self.numbers = np.concatenate([self.numbers, fresh])
            self.partials.append(len(fresh))
            rows = self._rows[numbers]
        self.partials.add(rows.astype(np.int64), columns)

    def renumber(self, kept: Ints) -> None:
        """Take on that the series numbered `kept[i]` is number i from now on."""
        self.numbers = np.searchsorted(kept, self.numbers)
        self._rows = np.full(len(kept), -1, np.int32)
        self._rows[self.numbers] = np.arange(len(self.numbers))


class _SeriesNumbers:
    """The series in use, numbered as they came: `keys` and `places` have the key and the state
    partition of each."""

    def __init__(self, kpi: Kpi, state_partitions: int) -> None:
        self._kpi = kpi
        self._by = list(kpi.by)
        self._state_partitions = state_partitions
        self._known = pl.DataFrame()
        self.keys = np.zeros(0, object)
        self.places = _NONE
        if not self._by:
            self._learn([()])

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.keys)

    def of(self, table: pl.DataFrame) -> Ints:
        """The number of the series of each row."""
        if not self._by:
            return np.zeros(table.height, np.int64)
        keys = table.select(self._by)
        found = self._look_up(keys)
        if found.null_count():
            # Groups come in any order: sorted, the same log gives the same frames.
            fresh = keys.filter(found.is_null()).unique().sort(self._by)
            numbers = pl.int_range(self.count, self.count + fresh.height, eager=True)
            self._learn(fresh.rows())
            fresh = fresh.with_columns(numbers.alias(_NUMBER))
            self._known = pl.concat([self._known, fresh]) if self._known.height else fresh
            found = self._look_up(keys)
        return found.to_numpy()

    def keep(self, numbers: Ints) -> None:
        """Forget all but the series with these numbers, ascending; they are numbered anew."""
        if self._by:
            anew = pl.int_range(len(numbers), dtype=pl.Int64).alias(_NUMBER)
            self._known = self._known[numbers].with_columns(anew)
            self.keys, self.places = self.keys[numbers], self.places[numbers]

    def _look_up(self, keys: pl.DataFrame) -> pl.Series:
        """The number of the series of each row; null where it is new."""
        if not self._known.height:
            return pl.repeat(None, keys.height, dtype=pl.Int64, eager=True)
        joined = keys.join(
            self._known, on=self._by, how="left", nulls_equal=True, maintain_order="left"
        )
        return joined[_NUMBER]

    def _learn(self, found: list[Dimensions]) -> None:
        found = [tuple(map(dimension_of, one)) for one in found]
        places = [state_partition(self._kpi, one, self._state_partitions) for one in found]
        self.keys = np.concatenate([self.keys, of_objects([series_key(one) for one in found])])
        self.places = np.concatenate([self.places, np.array(places, np.int64)])


def _apart(*columns: Ints) -> tuple[Ints, list[tuple[int, int]]]:
    """The rows, at least one, in the order of what the columns (small numbers, not negative) have
    there, and the spans in it that have the same."""
    code = columns[0].astype(np.int64)
    for column in columns[1:]:
        code = code * (int(column.max()) + 1) + column
    if code.max() < 65_536:
        code = code.astype(np.uint16)  # sorted by its digits, ten times as fast
    order = np.argsort(code, kind="stable")
    ordered = code[order]
    edges = (np.flatnonzero(ordered[1:] != ordered[:-1]) + 1).tolist()
    return order, list(pairwise([0, *edges, len(order)]))


def _shared(kpis: tuple[Kpi, ...]) -> tuple[Aggregator, list[list[str]]]:
    """One aggregator for all partials of some KPIs, each once; and the columns of each KPI."""
    distinct: list[Partial] = []
    places: list[list[int]] = []
    for kpi in kpis:
        mine: list[int] = []
        for partial in kpi.partials:
            same = (i for i, other in enumerate(distinct) if _folds_alike(partial, other))
            place = next(same, len(distinct))
            if place == len(distinct):
                distinct.append(partial)
            mine.append(place)
        places.append(mine)
    aggregator = Aggregator(replace(kpis[0], partials=tuple(distinct)))
    spans = aggregator.columns_of()
    return aggregator, [[name for place in mine for name in spans[place]] for mine in places]


def _folds_alike(a: Partial, b: Partial) -> bool:
    """Whether two partials have the same state: their final values may differ."""
    one, other = kind_of(a), kind_of(b)
    return (
        one.fold is other.fold
        and one.prepare is other.prepare
        and _same(a.argument, b.argument)
        and _same(a.filter, b.filter)
    )


def _same(a: pl.Expr | None, b: pl.Expr | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.meta.eq(b)
