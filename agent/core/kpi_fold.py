"""The unfinished partials of one KPI on their way into frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from agent.core.aggregates import Aggregator
from agent.core.frame import Block, state_partition
from agent.core.plan import Contract, Dimensions, Kpi
from agent.core.source import NO_TIME_MS, SourceProgress

KEYS = ("_partition", "_slice")


class KpiFold:
    """The unfinished partials of one KPI: a table keyed by source partition, slice, dimensions."""

    def __init__(self, kpi: Kpi, contract: Contract, watched: bool, state_partitions: int) -> None:
        self.kpi = kpi
        self.contract = contract.name
        self.watched = watched
        self._lateness_ms = contract.lateness_ms
        self._aggregator = Aggregator(kpi)
        self._keys = [*KEYS, *kpi.by]
        self._state: pl.DataFrame | None = None
        self._pending: list[pl.DataFrame] = []
        self._places: dict[Dimensions, int] = {}
        self._state_partitions = state_partitions

    def fold(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The partials of one batch, lazily: all KPIs are collected together."""
        slice_ms = self.kpi.slice_ms
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
        state, news = self._combined()
        told = {p: s.told_watermark_ms for p, s in sources.items()}
        now = {p: s.watermark_ms for p, s in sources.items()}
        state = state.filter(self._unfinished(told))
        tell = state.filter(pl.col("_partition").is_in(list(telling)))
        if news is not None:
            again = tell.filter(pl.col("_partition").is_in(list(fresh)))
            rest = tell.filter(~pl.col("_partition").is_in(list(fresh)))
            tell = pl.concat([again, rest.join(news, on=self._keys, how="semi", nulls_equal=True)])
        else:
            tell = tell.filter(pl.col("_partition").is_in(list(fresh)))
        self._state = state.filter(self._unfinished(now))
        # Groups come in any order: sorted, the same log gives the same frames.
        yield from self._blocks(tell.sort(self._keys, nulls_last=True))

    def _combined(self) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """All partials, and the keys of those that are new."""
        parts = [] if self._state is None else [self._state]
        if not self._pending:
            return parts[0], None
        news = pl.concat([table.select(self._keys) for table in self._pending])
        parts += self._pending
        self._pending = []
        state = parts[0] if len(parts) == 1 else self._aggregator.combine(parts, self._keys)
        return state, news

    def _unfinished(self, watermarks_ms: Mapping[int, int | None]) -> pl.Expr:
        """Whether a row's slice can still grow at its partition's watermark."""
        known = {p: w for p, w in watermarks_ms.items() if w is not None}
        if not known:
            return pl.lit(True)
        watermark = pl.col("_partition").replace_strict(
            list(known), list(known.values()), default=NO_TIME_MS, return_dtype=pl.Int64
        )
        return pl.col("_slice") + (self.kpi.slice_ms + self._lateness_ms) > watermark

    def _blocks(self, table: pl.DataFrame) -> Iterator[tuple[tuple[int, int], Block]]:
        if not table.height:
            return
        series = _tuples(table, self.kpi.by)
        places = pl.Series("_state", [self._place(dimensions) for dimensions in series])
        parts = table.with_columns(places).partition_by(
            ["_partition", "_state"], as_dict=True, maintain_order=True
        )
        for (partition, place), part in parts.items():
            yield (int(partition), int(place)), self._block(part)

    def _block(self, part: pl.DataFrame) -> Block:
        numbers: dict[Dimensions, int] = {}
        series = [numbers.setdefault(d, len(numbers)) for d in _tuples(part, self.kpi.by)]
        return Block(
            self.kpi.name,
            self.kpi.fingerprint,
            [list(d) for d in numbers],
            series,
            part["_slice"].to_list(),
            [part[name].to_list() for name in self._aggregator.columns()],
        )

    def _place(self, dimensions: Dimensions) -> int:
        place = self._places.get(dimensions)
        if place is None:
            place = state_partition(self.kpi.by, dimensions, self._state_partitions)
            self._places[dimensions] = place
        return place


def _tuples(table: pl.DataFrame, names: tuple[str, ...]) -> list[Dimensions]:
    if not names:
        return [()] * table.height
    columns: list[list[Any]] = [table[name].to_list() for name in names]
    return list(zip(*columns, strict=True))
