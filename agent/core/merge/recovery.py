"""Restores state from rows: after a restart, and at the end of a KPI's backfill.

After a restart
---------------
1. Rows of KPIs that are not declared, or have another fingerprint, are skipped, and kept for a
   while (`agent.core.merge.row_store`).
2. The last results of each row are emitted again: they may not have been published.
3. Alerts of rules that are no longer declared end.
4. A backfill that was partly written is deleted, and starts again.

After a backfill
----------------
Its rows are restored like those of a restart, and the live partials that were buffered meanwhile
(`agent.core.merge.backfill_buffer`) are applied on top. Until then, KPIs derived from it wait.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from agent.core.evaluate.composite import CompositeState
from agent.core.evaluate.transitions import end_alerts
from agent.core.merge.backfill_buffer import BackfillBuffer, BackfillBuffers, marker_key
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.derived_kpi import KpiState
from agent.core.merge.emission import Emission
from agent.core.merge.partition_state import PartitionState
from agent.core.merge.row_store import RowStore
from agent.core.merge.watermark import Source
from agent.core.model.results import Transition
from agent.core.model.rules import RULE_SUBJECT
from agent.core.state.archive import Chunk, read_chunk
from agent.core.state.rows import Row, is_chunk, is_marker, kpi_of
from agent.core.state.series import Series


class Recovery:
    """Restores one state partition."""

    def __init__(
        self,
        state: PartitionState,
        rows: RowStore,
        backfills: BackfillBuffers,
        emission: Emission,
    ) -> None:
        self._state = state
        self._rows = rows
        self._backfills = backfills
        self._emission = emission
        self._note_backfills()

    # --- after a restart -------------------------------------------------------------------

    def restore(self, rows: Iterable[Row]) -> None:
        """Continue from the rows of this partition, before any frame.

        Raises UnknownVersion and DamagedRow.
        """
        whole = self._without_partial_backfills(list(rows))
        for key, series in self._rows.read(row for row in whole if not is_chunk(row[0])):
            owner = self._state.owner(series)
            if owner is None:
                self._rows.keep_unknown(key)
                self._rows.emit_with_replay(_last_transitions(series))
            else:
                self._restore_series(series, owner)
        for key, chunk in _chunks(whole):
            if not self._restore_chunk(chunk):
                self._rows.keep_unknown(key)
        for name, state in self._state.kpis.items():
            if state.series:
                self._backfills.had_state(name)
        self._note_backfills()

    def _restore_series(self, series: Series, owner: KpiState | CompositeState) -> None:
        self._rows.replay_last(series)
        rules = owner if isinstance(owner, CompositeState) else owner.evaluator
        restart = self._state.rule_graph.restart
        gone = [*rules.drop_undeclared(series), *restart.no_longer_inhibited(series)]
        absence = self._state.absences.get(series.kpi)
        if series.dimensions is not None:
            owner.restore(series)
        elif absence is not None:
            absence.restore(series)
        if gone:
            place = series.kpi, series.dimensions
            self._emission.note_changed(place)
            self._rows.note_emitted(place, transitions=gone)
            self._rows.emit_with_replay(gone)

    def _without_partial_backfills(self, rows: Sequence[Row]) -> list[Row]:
        """The rows of series and chunks, without partly written backfills. These are deleted: first
        their rows, then their markers."""
        partial, unknown = self._backfills.restore(row for row in rows if is_marker(row[0]))
        for key in unknown:
            self._rows.keep_unknown(key)
        others = [row for row in rows if not is_marker(row[0])]
        if not partial:
            return others
        self._rows.delete(key for key, _ in others if kpi_of(key) in partial)
        self._rows.delete(map(marker_key, sorted(partial)))
        return [row for row in others if kpi_of(row[0]) not in partial]

    def _restore_chunk(self, chunk: Chunk) -> bool:
        """Restore older windows of a series; False: the series does not exist."""
        state = self._state.kpis.get(chunk.kpi)
        series = state.series.get(chunk.dimensions) if state else None
        archive = state.evaluator.archive if state else None
        if series is None or archive is None:
            return False
        if (series.fingerprint, series.first_ms) != (chunk.fingerprint, chunk.first_ms):
            return False
        archive.restore(chunk)
        return True

    # --- a backfill --------------------------------------------------------------------------

    def adopt(
        self, kpi: str, handoff_ms: int, sources: Collection[Source], rows: Sequence[Row]
    ) -> bool:
        """Continue from the rows of a KPI's backfill up to `handoff_ms`, read from these source
        partitions. The next frame advances the KPI from there.

        Returns False, and changes nothing, if the KPI is not waiting, or if live partials since
        then are missing.
        """
        state = self._state.kpis[kpi]
        buffer = self._backfills.adopt(kpi, handoff_ms, sources, rows)
        if buffer is None or not isinstance(state, BaseKpi):  # derived KPIs have no backfill
            return False
        for key, _ in rows:
            self._rows.cancel_delete(key)
        for _, series in self._rows.read(row for row in rows if not is_chunk(row[0])):
            state.restore(series)
        for _, chunk in _chunks(rows):
            self._restore_chunk(chunk)
        state.continue_from(handoff_ms)
        self.begin(buffer)
        return True

    def begin(self, buffer: BackfillBuffer) -> None:
        """Start the evaluation of a KPI that waited, with its live partials since the handoff."""
        name = buffer.kpi.name
        state = self._state.kpis[name]
        if isinstance(state, BaseKpi):
            for source, block in buffer.blocks(self._backfills.handoffs[name]):
                state.update(block, source, buffer.first_position or 0)
        self._rows.cancel_delete(marker_key(name))
        self._note_backfills()

    def _note_backfills(self) -> None:
        """Pass the handoffs on: to the KPIs themselves, and to derived KPIs, which also need to
        know whether an input waits. They have no windows before the last handoff of their
        inputs."""
        waiting, handoffs = set(self._backfills.names), dict(self._backfills.handoffs)
        for name, handoff in handoffs.items():
            base = self._state.kpis[name]
            if isinstance(base, BaseKpi):
                base.unsettled.begun_ms = max(handoff, self._backfills.begun[name])
        for name, state, _ in self._state.derived:
            waits = not waiting.isdisjoint(state.kpi.inputs)
            waiting |= {name} if waits else set()
            handoff_ms = max((handoffs[i] for i in state.kpi.inputs if i in handoffs), default=None)
            if handoff_ms is not None:
                handoffs[name] = handoff_ms
            state.note_backfills(waits, handoff_ms)


def _chunks(rows: Sequence[Row]) -> list[tuple[bytes, Chunk]]:
    return [(key, read_chunk(key, row)) for key, row in rows if is_chunk(key)]


def _last_transitions(series: Series) -> list[Transition]:
    """The transitions that end the alerts of a composite rule that is no longer declared."""
    if not series.kpi.startswith(RULE_SUBJECT):
        return []
    alerts = [(rule, s, a) for rule, states in series.alerts.items() for s, a in states.items()]
    return end_alerts(series.kpi, series.dimensions, series.evaluated_ms, alerts)
