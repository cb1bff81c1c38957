"""The unfinished partials of KPIs on their way into frames.

KPIs over the same rows of a contract, by the same dimensions, in the same slices and placed alike
share one table: their keys are grouped once, and a partial that several ask for is folded once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.aggregates import Aggregator
from agent.core.frame import NO_INT, Block, series_key, state_partition, written_column
from agent.core.kinds import KINDS
from agent.core.plan import Contract, Dimensions, Kpi, Partial
from agent.core.source import NO_TIME_MS, SourceProgress

KEYS = ("_partition", "_slice")
_NEW = "_new"
_SERIES = "_series"
FORGOTTEN_KEPT = 10_000
"""How many series that have no unfinished slice are known still: they may come again."""

_NOTHING: npt.NDArray[np.int64] = np.zeros(0, np.int64)


def sharing(kpis: Iterable[Kpi]) -> list[tuple[Kpi, ...]]:
    """KPIs of one contract, those together that can share a `KpiFold`."""
    groups: dict[object, list[Kpi]] = {}
    for kpi in kpis:
        groups.setdefault((kpi.where_sql, kpi.by, kpi.slice_ms, kpi.placement), []).append(kpi)
    return [tuple(group) for group in groups.values()]


class KpiFold:
    """The unfinished partials of KPIs that share their rows, dimensions and slices (`sharing`): a
    table keyed by source partition, slice, dimensions."""

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
        self._state: pl.DataFrame | None = None
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
        others = pl.col("_partition") != partition
        if self._state is not None:
            self._state = self._state.filter(others)
        self._pending = [table.filter(others) for table in self._pending]

    def changed(
        self,
        telling: Mapping[int, SourceProgress],
        sources: Mapping[int, SourceProgress],
        fresh: set[int],
    ) -> Iterator[tuple[tuple[int, int], Block]]:
        """The changed partials as blocks by (source partition, state partition); then forget the
        partials of finished slices."""
        if not self._pending and (self._state is None or fresh.isdisjoint(telling)):
            return
        state = self._combined()
        told = {p: s.told_watermark_ms for p, s in sources.items()}
        now = {p: s.watermark_ms for p, s in sources.items()}
        partition = pl.col("_partition")
        tell = partition.is_in(list(telling)) & (pl.col(_NEW) | partition.is_in(list(fresh)))
        kept = state.lazy().filter(self._unfinished(told))
        news, rest = pl.collect_all(
            [kept.filter(tell), kept.filter(self._unfinished(now)).drop(_NEW)]
        )
        self._state = rest
        self._series.keep(rest)
        yield from self._blocks(news)

    def _combined(self) -> pl.DataFrame:
        """All partials, with a column that says which of them are new since the last flush."""
        old = [] if self._state is None else [self._state.with_columns(pl.lit(False).alias(_NEW))]
        news = [table.with_columns(pl.lit(True).alias(_NEW)) for table in self._pending]
        self._pending = []
        parts = old + news
        if len(parts) == 1:
            return parts[0]
        return self._aggregator.combine(parts, self._keys, pl.col(_NEW).any())

    def _unfinished(self, watermarks_ms: Mapping[int, int | None]) -> pl.Expr:
        """Whether a row's slice can still grow at its partition's watermark."""
        known = {p: w for p, w in watermarks_ms.items() if w is not None}
        if not known:
            return pl.lit(True)
        watermark = pl.col("_partition").replace_strict(
            list(known), list(known.values()), default=NO_TIME_MS, return_dtype=pl.Int64
        )
        return pl.col("_slice") + self._span_ms > watermark

    def _blocks(self, table: pl.DataFrame) -> Iterator[tuple[tuple[int, int], Block]]:
        """The rows of a table, apart by source partition, state partition and slice."""
        if not table.height:
            return
        numbers, places = self._series.of(table)
        sources = table["_partition"].to_numpy()
        starts = table["_slice"].to_numpy()
        # Groups come in any order: sorted, the same log gives the same frames.
        order = np.lexsort((numbers, starts, places, sources))
        sources, places, starts = sources[order], places[order], starts[order]
        keys = self._series.keys[numbers[order]].tolist()
        columns = {name: _column(table[name])[order] for name in self._aggregator.columns()}
        cuts = np.diff(sources) | np.diff(places) | np.diff(starts)
        edges = [0, *(np.flatnonzero(cuts) + 1).tolist(), len(order)]
        for at, to in pairwise(edges):
            where = int(sources[at]), int(places[at])
            made = {name: written_column(column[at:to]) for name, column in columns.items()}
            for kpi, names in zip(self.kpis, self._columns, strict=True):
                values = [made[name] for name in names]
                yield (
                    where,
                    Block(kpi.name, kpi.fingerprint, int(starts[at]), keys[at:to], values),
                )


class _SeriesNumbers:
    """The series in use, numbered as they came: `keys` and `places` have the key and the state
    partition of each."""

    def __init__(self, kpi: Kpi, state_partitions: int) -> None:
        self._kpi = kpi
        self._by = list(kpi.by)
        self._state_partitions = state_partitions
        self._known = pl.DataFrame()
        self.keys = np.zeros(0, object)
        self.places = _NOTHING
        if not self._by:
            self._learn([()])

    def of(self, table: pl.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Number and state partition of the series of each row."""
        if not self._by:
            numbers = np.zeros(table.height, np.int64)
            return numbers, self.places[numbers]
        keys = table.select(self._by)
        found = self._look_up(keys)
        if found.null_count():
            fresh = keys.filter(found.is_null()).unique().sort(self._by)
            counted = pl.int_range(len(self.keys), len(self.keys) + fresh.height, eager=True)
            self._learn(fresh.rows())
            fresh = fresh.with_columns(counted.alias(_SERIES))
            self._known = pl.concat([self._known, fresh]) if self._known.height else fresh
            found = self._look_up(keys)
        numbers = found.to_numpy()
        return numbers, self.places[numbers]

    def keep(self, table: pl.DataFrame) -> None:
        """Forget the series that a table does not name, once most are such."""
        if self._by and len(self.keys) > FORGOTTEN_KEPT + 2 * table.height:
            numbers = np.unique(self._look_up(table.select(self._by)).drop_nulls().to_numpy())
            self._known = self._known[numbers].with_columns(
                pl.int_range(len(numbers), dtype=pl.Int64).alias(_SERIES)
            )
            self.keys, self.places = self.keys[numbers], self.places[numbers]

    def _look_up(self, keys: pl.DataFrame) -> pl.Series:
        """The number of the series of each row; null where it is new."""
        if not self._known.height:
            return pl.repeat(None, keys.height, dtype=pl.Int64, eager=True)
        joined = keys.join(
            self._known, on=self._by, how="left", nulls_equal=True, maintain_order="left"
        )
        return joined[_SERIES]

    def _learn(self, found: list[Dimensions]) -> None:
        places = [state_partition(self._kpi, one, self._state_partitions) for one in found]
        keys = np.empty(len(found), object)
        keys[:] = [series_key(one) for one in found]
        self.keys = np.concatenate([self.keys, keys])
        self.places = np.concatenate([self.places, np.array(places, np.int64)])


def _column(values: pl.Series) -> npt.NDArray[Any]:
    """A column as frames have it: nothing is `NO_INT`, NaN or None."""
    if values.dtype == pl.Int64:
        return values.fill_null(NO_INT).to_numpy()
    if values.dtype == pl.Float64:
        return values.fill_null(math.nan).to_numpy()
    made = np.empty(len(values), object)
    made[:] = values.to_list()
    return made


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
    one, other = KINDS[a.kind], KINDS[b.kind]
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
