"""Decides the verdicts of one contract's events, for the windows of each of its KPIs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.fold.checkpoint import Needs, SourceProgress
from agent.core.fold.dedup import Deduplicator
from agent.core.fold.kpi_fold import RowsToFold
from agent.core.fold.lateness import Bools, counts_somewhere, frontiers
from agent.core.fold.outcomes import Outcomes
from agent.core.fold.runs import first_of_each, segments
from agent.core.model.events import Contract
from agent.core.model.kpis import Kpi
from agent.core.model.results import Outcome
from agent.core.model.windows import Window


class ContractVerdicts:
    """Gives the events of one contract their outcomes. `index`: of the contract in its topic."""

    def __init__(self, contract: Contract, index: int, kpis: tuple[Kpi, ...]) -> None:
        self.contract = contract
        self._index = index
        self._windows = tuple(dict.fromkeys(kpi.window for kpi in kpis))
        self._slice_sizes = _slice_sizes(kpis)
        self._duplicates = Deduplicator(contract, kpis)

    def assign(
        self,
        table: pl.DataFrame,
        watermarks_ms: Ints,
        sources: Mapping[int, SourceProgress],
        outcomes: Outcomes,
    ) -> tuple[RowsToFold, Bools]:
        """Give each row of a table its verdict, with `watermarks_ms` the watermark before each.

        Returns the rows to fold, and which of them count in any window. Outcomes are added to
        `outcomes`, and the offsets that a restart needs to `sources`.
        """
        rows = table["_row"].to_numpy().astype(np.int64)
        times = table["_time"].to_numpy()
        limits = frontiers(watermarks_ms, self.contract.lateness_ms)
        behind = times < limits
        stored = np.maximum(times, limits) if behind.any() else times
        ends = _slice_ends(stored, self._slice_sizes)
        repeats: Mapping[Window, Bools] = {}
        if self._duplicates.is_used:
            repeats = self._repeats(table, sources, stored, ends, watermarks_ms, limits)
        counts = np.ones(len(rows), np.bool_)
        if self._windows:
            # Most rows count everywhere without further checks.
            unsure = np.flatnonzero(np.logical_or.reduce([behind, *repeats.values()]))
            left, repeated = self._uncounted(unsure, times, limits, repeats)
            counts[left] = False
            outcomes.assign(rows[left[repeated]], Outcome.DUPLICATE, self._index)
            outcomes.assign(rows[left[~repeated]], Outcome.LATE, self._index)
        outcomes.assign(rows[counts], Outcome.FOLDED, self._index)
        self._note_slices(table, sources, counts, ends, watermarks_ms)
        plain = stored is times and not repeats
        return RowsToFold(table, None if plain else limits, repeats), counts

    def forget_finished(self, partition: int, source: SourceProgress) -> None:
        """Drop state that no later verdict needs."""
        name = self.contract.name
        source.forget_finished(name, self.contract.lateness_ms)
        self._duplicates.forget(
            partition, source.watermark_ms, source.ids.setdefault(name, Needs())
        )

    def revoke(self, partition: int) -> None:
        """Forget a source partition."""
        self._duplicates.revoke(partition)

    def _uncounted(
        self, rows: Ints, times: Ints, limits: Ints, repeats: Mapping[Window, Bools]
    ) -> tuple[Ints, Bools]:
        """The rows, among some, that count in no window, and which of these are repeats."""
        left, repeated = rows, np.zeros(len(times), np.bool_)
        for window in self._windows:
            is_open = counts_somewhere(window, times[left], limits[left])
            if window in repeats:
                repeated |= repeats[window]
                is_open &= ~repeats[window][left]
            left = left[~is_open]
        return left, repeated[left]

    def _repeats(
        self,
        table: pl.DataFrame,
        sources: Mapping[int, SourceProgress],
        stored: Ints,
        ends: Ints,
        before: Ints,
        limits: Ints,
    ) -> Mapping[Window, Bools]:
        """For each window, which rows are repeats; empty if no row is. Notes the offsets that a
        restart needs to know the ids."""
        masks: dict[Window, Bools] = {}
        offsets = table["_offset"].to_numpy()
        for partition, start, stop in segments(table["_partition"].to_numpy()):
            source, part = sources[partition], slice(start, stop)
            needs = source.ids.setdefault(self.contract.name, Needs())
            self._duplicates.note(needs, stored[part], offsets[part], before[part])
            rows, last, of_window = self._duplicates.repeats(
                partition, table["_id"][part], stored[part], limits[part]
            )
            if not len(rows):
                continue
            for window, mask in of_window.items():
                whole = masks.setdefault(window, np.zeros(table.height, np.bool_))
                whole[start + rows] = mask
            slices = source.slices.setdefault(self.contract.name, Needs())
            for row, at in zip((start + rows).tolist(), last.tolist(), strict=True):
                # Without the first event, a restart would fold its repeat.
                needed = self._duplicates.needed(needs, at)
                if needed is not None:
                    slices.note(int(ends[row]), *needed)
        return masks

    def _note_slices(
        self,
        table: pl.DataFrame,
        sources: Mapping[int, SourceProgress],
        counts: Bools,
        ends: Ints,
        before: Ints,
    ) -> None:
        """Note the offsets that a restart needs for unfinished slices."""
        offsets = table["_offset"].to_numpy()
        all_count = bool(counts.all())
        for partition, start, stop in segments(table["_partition"].to_numpy()):
            needs = sources[partition].slices.setdefault(self.contract.name, Needs())
            if all_count:
                first = start + first_of_each(ends[start:stop])
            else:
                rows = start + np.flatnonzero(counts[start:stop])
                first = rows[first_of_each(ends[rows])]
            for row in first.tolist():
                needs.note(int(ends[row]), int(offsets[row]), int(before[row]))


def _slice_sizes(kpis: tuple[Kpi, ...]) -> list[int]:
    """The different slices of some KPIs, without those that divide another."""
    sizes = {kpi.slice_ms for kpi in kpis}
    return sorted(s for s in sizes if not any(o != s and o % s == 0 for o in sizes))


def _slice_ends(times_ms: Ints, sizes_ms: list[int]) -> Ints:
    """The end of the last slice, over all KPIs, that each instant belongs to."""
    ends = times_ms
    for size in sizes_ms:
        ends = np.maximum(ends, times_ms - times_ms % size + size)
    return ends
