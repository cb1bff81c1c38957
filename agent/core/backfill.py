"""Backfills: computes the rows that a new KPI would have if it had been declared earlier.

The events up to the handoff (`agent.core.merge.backfill_buffer`) are read from the source topics
and folded, in parallel to live processing. Each record gets the same verdict as in live processing:
by all KPIs of its contract, given the log before it. Windows close in event-time order, as far as
the slowest source allows, so that few are in memory at a time. No alert is published: rules are
evaluated only for the history that they read, and all alerts are inactive at the handoff.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.core.decode.batch import Batch
from agent.core.evaluate.evaluator import Evaluator
from agent.core.fold.folder import Folder
from agent.core.fold.lookup_topics import LookupTopics
from agent.core.frame import Block, decode
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.live_series import series_limit
from agent.core.merge.missed_records import MissedForContract, MissedForKpi, MissedRecords
from agent.core.merge.watermark import Source
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, TargetStatus, WindowValue
from agent.core.model.windows import first_end_within, previous_end, previous_start
from agent.core.state.rows import Row, SeriesRows


def begin_ms(kpi: Kpi, at_ms: int) -> int:
    """The event time from which events are needed to compute the window that contains an
    instant."""
    first = kpi.window.first_end_after(at_ms)
    if kpi.has_retention:  # it also reads the window before
        return previous_start(kpi.window, first)
    return kpi.window.start_of(first)


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """To compute the complete windows of a KPI, from the first that starts at or after `from_ms`
    (None: the log's first event) to the handoff, in some state partitions. `missed`: what earlier
    logs of the topics had: windows that may lack it are marked as incomplete."""

    kpi: str
    from_ms: int | None
    handoff_ms: int
    state_partitions: Collection[int]
    missed: Sequence[MissedRecords] = ()


class Backfill:
    """The backfill of some KPIs, of all their contracts' topics. Not thread-safe."""

    def __init__(
        self,
        plan: Plan,
        requests: Iterable[BackfillRequest],
        sources: Collection[Source],
        state_partitions: int,
        lookups: LookupTopics | None = None,
    ) -> None:
        """`lookups`: the tables of the lookup topics."""
        requests = list(requests)
        kpis = {r.kpi for r in requests}
        topics = sorted({topic for topic, _ in sources})
        self._folders = {
            topic: Folder(plan, topic, state_partitions, kpis, lookups) for topic in topics
        }
        self._numbers = {source: number for number, source in enumerate(sorted(sources))}
        self._backfills = {
            (r.kpi, p): _KpiBackfill(plan, plan.kpis[r.kpi], r, state_partitions)
            for r in requests
            for p in r.state_partitions
        }
        self._targets = {p for _, p in self._backfills}
        self._reading = set(sources)
        for topic, partition in sources:
            self._folders[topic].assign(partition, None)

    def add(self, batch: Batch) -> None:
        """Decode, evaluate and fold a batch, which continues its sources where the last one
        ended."""
        self._folders[batch.topic].add(batch)

    def watermark_ms(self, source: Source) -> int | None:
        """The watermark of a source."""
        topic, partition = source
        return self._folders[topic].sources[partition].watermark_ms

    def end(self, source: Source) -> None:
        """Note that a source was read as far as windows before the handoff need."""
        self._reading.discard(source)

    def flush(self) -> Emitted:
        """Close all windows that can be closed. The result has their values and target states, and
        no alerts."""
        for topic, folder in self._folders.items():
            for target, message in folder.flush(0, {}, len(folder.sources)):
                if target in self._targets:
                    frame = decode(message)
                    number = self._numbers[topic, frame.partition]
                    for block in frame.blocks:
                        self._backfills[block.kpi, target].update(block, number)
        times = [self.watermark_ms(source) for source in self._reading]
        known = [at for at in times if at is not None]
        if len(known) < len(times):
            return Emitted()
        slowest = min(known, default=None)
        closed = [backfill.advance(slowest) for backfill in self._backfills.values()]
        return Emitted(
            tuple(w for windows, _ in closed for w in windows),
            tuple(t for _, targets in closed for t in targets),
        )

    def rows(self) -> Mapping[tuple[str, int], list[Row]]:
        """The rows by KPI and state partition, once every source has ended and was flushed: first
        the archived windows, then one row per series."""
        return {key: backfill.rows() for key, backfill in self._backfills.items()}


class _KpiBackfill:
    """One KPI in one state partition, up to its handoff."""

    def __init__(
        self, plan: Plan, kpi: Kpi, request: BackfillRequest, state_partitions: int
    ) -> None:
        evaluator = Evaluator(plan, kpi, history_only=True)
        missed = MissedForKpi([(kpi, MissedForContract(request.missed))])
        limit = series_limit(kpi, state_partitions)
        self._state = BaseKpi(evaluator, limit, is_read=False, missed=missed)
        self._handoff_ms = request.handoff_ms
        self._begin_ms: int | None = None
        self._closed_ms: int | None = None
        self._chunks: dict[bytes, bytes] = {}
        if request.from_ms is not None:
            window = kpi.window
            first = first_end_within(window, request.from_ms)
            self._begin_ms = window.start_of(first)
            if kpi.has_retention:  # the first window that is published needs the one before it
                first = first_end_within(window, first)
            self._closed_ms = previous_end(window, first)
            if self._closed_ms > self._handoff_ms:
                # Not enough for a complete window: it starts as a KPI without a backfill.
                self._begin_ms, self._closed_ms = self._handoff_ms, None

    def update(self, block: Block, source: int) -> None:
        """Add a frame's partials that are between the first complete window and the handoff."""
        least = self._begin_ms
        if block.start_ms < self._handoff_ms and (least is None or block.start_ms >= least):
            self._state.update(block, source, 0)

    def advance(self, watermark_ms: int | None) -> tuple[list[WindowValue], list[TargetStatus]]:
        """Close the windows that end by a watermark; None: all up to the handoff."""
        state = self._state
        frontier = self._handoff_ms
        if watermark_ms is not None:
            frontier = min(frontier, watermark_ms - state.kpi.lateness_ms)
        if self._closed_ms is not None:
            # A window that starts before the first complete one would have part of its events.
            for series in state.series.values():
                series.skip_windows(self._closed_ms)
        step = state.advance(frontier)
        if state.evaluator.archive is not None:
            for key, row in state.evaluator.archive.rows():
                if row is None:
                    self._chunks.pop(key, None)
                else:
                    self._chunks[key] = row
        return [w for w, _, _ in step.closed], [t for _, t, _ in step.closed if t is not None]

    def rows(self) -> list[Row]:
        rows, store = list(self._chunks.items()), SeriesRows()
        for series in self._state.series.values():
            series.hand_off(self._handoff_ms)
            # At the handoff all alerts are inactive, and absence rules count from there.
            series.drop_alerts()
            written = store.write(series)
            rows += ((key, row) for key, row in written if row is not None)
        return rows
