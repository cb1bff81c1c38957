"""Decides which events of a contract are repeats, for each of its KPIs' windows.

`agent.core.fold.dedup` describes the rule. A record may be a repeat for a daily KPI and count for a
KPI by minute, if its id was used before in a minute that has closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.fold.checkpoint import Needs
from agent.core.fold.dedup import IdMemory
from agent.core.fold.lateness import Bools, closed_before, last_ends
from agent.core.fold.runs import first_of_each
from agent.core.model.events import Contract
from agent.core.model.kpis import Kpi
from agent.core.model.windows import Window


class Deduplicator:
    """The remembered ids of one contract, by source partition."""

    def __init__(self, contract: Contract, kpis: Iterable[Kpi]) -> None:
        kpis = list(kpis)
        self.is_used = bool(contract.ids and kpis)
        self._windows = tuple(dict.fromkeys(kpi.window for kpi in kpis))
        self._most_ms = contract.duplicate_window_ms
        self._lateness_ms = contract.lateness_ms
        self._restated = contract.restated
        # The granularity at which ids are dropped and offsets noted.
        self._step_ms = min((kpi.slice_ms for kpi in kpis), default=1)
        self._memories: dict[int, IdMemory] = {}

    def repeats(
        self, partition: int, ids: pl.Series, stored_ms: Ints, frontiers_ms: Ints
    ) -> tuple[Ints, Ints, Mapping[Window, Bools]]:
        """The rows whose id is known, when it was last stored, and for each window which of these
        rows are repeats. `stored_ms`: each event's time, or the frontier if that is later."""
        memory = self._memories.setdefault(partition, IdMemory(self._step_ms))
        repeats = memory.repeats(ids, stored_ms)
        limits, last = frontiers_ms[repeats.rows], repeats.last_ms
        if self._restated is not None:
            limits = stored_ms[repeats.rows] - self._restated.lateness_ms
        young = last + self._most_ms > limits
        open_ = {w: young & (last_ends(w, last) > limits) for w in self._windows}
        known = np.logical_or.reduce(list(open_.values()))
        rows = repeats.rows[known]
        return rows, last[known], {window: mask[known] for window, mask in open_.items()}

    def note(self, needs: Needs, stored_ms: Ints, offsets: Ints, before_ms: Ints) -> None:
        """Note the offsets that a restart needs to know the ids of these rows."""
        ends = self._ends(stored_ms)
        for row in first_of_each(ends).tolist():
            needs.note(int(ends[row]), int(offsets[row]), int(before_ms[row]))

    def needed(self, needs: Needs, last_ms: int) -> tuple[int, int] | None:
        """The offset (and the watermark before it) that a restart needs to know an id that was last
        stored at an instant."""
        return needs.get(last_ms - last_ms % self._step_ms + self._step_ms)

    def forget(self, partition: int, watermark_ms: int | None, needs: Needs) -> None:
        """Drop the ids that are no longer known for any window."""
        if watermark_ms is None or not self.is_used:
            return
        frontier = watermark_ms - self._lateness_ms
        done = min(
            max(closed_before(window, frontier), frontier - self._most_ms + 1)
            for window in self._windows
        )
        done -= done % self._step_ms
        needs.forget(done)
        if partition in self._memories:
            self._memories[partition].forget(done - 1)

    def revoke(self, partition: int) -> None:
        """Forget a source partition."""
        self._memories.pop(partition, None)

    def _ends(self, times_ms: Ints) -> Ints:
        return times_ms - times_ms % self._step_ms + self._step_ms
