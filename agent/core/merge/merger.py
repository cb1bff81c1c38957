"""Stage 2: frames in, closed windows, target states and alert transitions out.

One `Merger` per state partition, a pure function of that partition's log of frames. It is the last
evaluate of lateness: a partial for a slice that it has sealed is dropped and counted.

States
------
Per source partition, what its last frame said (`agent.core.merge.watermark`); per KPI, the slices
that are not sealed, and the series with their panes (`agent.core.merge.base_kpi`); what is owed to
the table (`agent.core.merge.row_store`); KPIs that wait for their past
(`agent.core.merge.backfill_buffer`).

Events
------
- `restore`: the rows of the table, before any frame.
- `apply`: one frame. Its partials replace those known from the same source and slice; the last
  frame of a flush moves the source's watermark, and with it the frontiers of the KPIs.
- `catch_up`: the next windows, while `is_behind`.
- `adopt`: the past of a KPI that waits for it.
- `drain_rows`: a round; what was applied goes into rows.

Rules
-----
1. A slice is sealed, and a window closed, once the frontier (the watermark less the lateness) has
   passed its end; in the order of their ends, however far one frame moves the watermark.
2. A series reports every window from its first event on, the empty ones too, until it expires.
   A gap that is longer has no windows, and takes no time.
3. A watermark that lets very many windows close is reached in strides of about `STRIDE_WINDOWS`.
   What a stride emits is what a frame with an earlier watermark would have brought.

Exceptions
----------
- A frame that covers less than one that was applied is passed over, and counted as stale.
- A frame of a topic, and a block of a KPI, that is not declared, or otherwise, is passed over.
- Bytes that are no frame raise `msgspec.DecodeError`, and change nothing.

Commit
------
1. `apply` frames, and `catch_up`.
2. `needed_position`: the first frame that a restart needs, if the rows are as they are now.
3. `drain_rows`: write them, in their order, and wait until the changelog has them.
4. Publish what was emitted, and wait.
5. Acknowledge the frames before the position of step 2.

A crash anywhere repeats from step 1: `restore` the rows, `apply` from the acknowledged position on.
What the rows emitted last is emitted again under the same keys, because the crash may have come
before step 4 was through.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from agent.core.evaluate.composite import CompositeRule
from agent.core.evaluate.rule_graph import RuleGraph
from agent.core.evaluate.thresholds import OnEvaluation
from agent.core.evaluate.transitions import ended
from agent.core.frame import Frame, decode
from agent.core.merge.backfill_buffer import (
    BackfillBuffer,
    BackfillBuffers,
    PendingBackfill,
    marker_key,
)
from agent.core.merge.base_kpi import BaseKpi, Step
from agent.core.merge.derived_kpi import DerivedKpi, KpiState
from agent.core.merge.emission import Emission
from agent.core.merge.live_series import limit_of
from agent.core.merge.missed_records import MissedRecords
from agent.core.merge.partition_state import PartitionState
from agent.core.merge.row_store import RowStore
from agent.core.merge.views import Views, view_of
from agent.core.merge.watermark import TopicSources
from agent.core.model.events import Contract
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, SeriesView, Transition, WindowValue
from agent.core.model.rules import RULE_SUBJECT, Rule
from agent.core.state.archive import Chunk, read_chunk
from agent.core.state.rows import Row, Write, is_chunk, is_marker, kpi_of
from agent.core.state.series import Series

STRIDE_WINDOWS = 4_000
"""About how many windows one call closes: a tenth of a second's work."""


class Merger:
    """Stage 2 of one state partition. Not thread-safe."""

    def __init__(
        self,
        plan: Plan,
        state_partition: int,
        state_partitions: int,
        until_ms: int | None = None,
        make_kpi: Callable[[Kpi, bool], KpiState | None] | None = None,
    ) -> None:
        """`until_ms`: event time stops there. `make_kpi` makes the states of some KPIs in another
        way (`agent.core.fixed_windows`); None: as usual."""
        self.plan = plan
        self._partitions = state_partitions
        self._until_ms = until_ms
        self._sources = {topic: TopicSources() for topic in plan.topics}
        self._missed = {
            topic: MissedRecords(max(c.lateness_ms for c in plan.contracts_of(topic)))
            for topic in plan.topics
        }
        order = {name: index for index, name in enumerate(plan.kpis)}
        self._rows = RowStore(order)
        self._state = PartitionState(
            plan,
            state_partition,
            state_partitions,
            lambda kpi, is_read: (
                (make_kpi(kpi, is_read) if make_kpi else None) or self._make_kpi(kpi, is_read)
            ),
        )
        self._emission = Emission(self._state, self._rows, order)
        self._views = Views(self._state.kpis)
        self._backfills = BackfillBuffers(plan, self._sources)
        self._begin_derived()
        self._position = -1
        self._behind: set[str] = set()  # topics with windows that are still to be closed

    def _make_kpi(self, kpi: Kpi, is_read: bool) -> KpiState:
        """The state of a KPI; `is_read`: others read its windows."""
        topics = sorted({self.plan.contracts[c].topic for c in self.plan.contracts_under(kpi.name)})
        missed = [self._missed[topic] for topic in topics]
        if kpi.contract is None:
            return DerivedKpi(self.plan, kpi, is_read, missed)
        limit = limit_of(kpi, self._partitions, partial(self._rows.bytes_of, kpi.name))
        return BaseKpi(self.plan, kpi, limit, is_read, missed[0])

    def set_on_evaluation(self, on_evaluation: OnEvaluation | None) -> None:
        """Have a function called with every evaluation."""
        for state in self._state.kpis.values():
            state.evaluator.set_on_evaluation(on_evaluation)
        for combination in self._state.rule_graph.combinations.values():
            combination.on_evaluation = on_evaluation

    # --- rows ------------------------------------------------------------------------------

    def restore(self, rows: Iterable[Row]) -> None:
        """Continue from the rows of this partition, before any frame.

        Rows of KPIs that are not declared, or otherwise, are passed over: their state means
        something else. Raises UnknownVersion and DamagedRow.
        """
        whole = self._without_partial_backfills(list(rows))
        for key, series in self._rows.read(row for row in whole if not is_chunk(row[0])):
            owner = self._state.owner(series)
            if owner is None:
                self._rows.keep_unknown(key)
                self._rows.emit_with_replay(_last_transitions(series))
            else:
                self._restore_series(series, owner)
        for key, row in whole:
            if is_chunk(key) and not self._restore_chunk(read_chunk(key, row)):
                self._rows.keep_unknown(key)
        for name, state in self._state.kpis.items():
            if state.series:
                self._backfills.had_state(name)
        self._begin_derived()

    def _restore_series(self, series: Series, owner: KpiState | CompositeRule) -> None:
        self._rows.restored(series)
        rules = owner if isinstance(owner, CompositeRule) else owner.evaluator
        gone = [*rules.drop_undeclared(series), *self._state.rule_graph.unsilenced(series)]
        absence = self._state.absences.get(series.kpi)
        if series.dimensions is not None:
            owner.restore(series)
        elif absence is not None:
            absence.restore(series)
        if gone:
            place = series.kpi, series.dimensions
            self._emission.changed(place)
            self._rows.emitted(place, transitions=gone)
            self._rows.emit_with_replay(gone)

    def _without_partial_backfills(self, rows: Sequence[Row]) -> list[Row]:
        """The rows of series and chunks. A past that was written in part only is deleted: its rows,
        and then the marker that says so."""
        half, unknown = self._backfills.restore(row for row in rows if is_marker(row[0]))
        for key in unknown:
            self._rows.keep_unknown(key)
        others = [row for row in rows if not is_marker(row[0])]
        if half:
            self._rows.delete(key for key, _ in others if kpi_of(key) in half)
            self._rows.delete(map(marker_key, sorted(half)))
        return [row for row in others if kpi_of(row[0]) not in half] if half else others

    def _restore_chunk(self, chunk: Chunk) -> bool:
        """Restore windows that a series' row no longer has; False: no series has them."""
        state = self._state.kpis.get(chunk.kpi)
        series = state.series.get(chunk.dimensions) if state else None
        archive = state.evaluator.archive if state else None
        if series is None or archive is None:
            return False
        if (series.fingerprint, series.first_ms) != (chunk.fingerprint, chunk.first_ms):
            return False
        archive.restore(chunk)
        return True

    def drain_rows(self) -> list[Write]:
        """The rows to write (None: to delete) for what was applied since the last call, in an order
        in which any first part of them leaves the table consistent."""
        before: list[Write] = [*self._backfills.drain_rows()]
        for state in self._state.kpis.values():
            if state.evaluator.archive is not None:
                before += state.evaluator.archive.rows()
        graph = self._state.rule_graph
        writes = self._rows.writes(self._state.series, before, graph.prune)
        self.mark_durable()
        return writes

    def mark_durable(self) -> None:
        """Note that what was applied is in rows, or that no crash can undo it."""
        self._state.mark_durable()

    @property
    def is_full(self) -> bool:
        """Whether so much was emitted since `drain_rows` that the rows should be written."""
        return self._rows.is_full

    def needed_position(self) -> int:
        """The first offset of the frames log that a restart would need."""
        # The frame whose watermark is not reached yet is needed to get there.
        positions = [self._position if self._behind else self._position + 1]
        for state in self._state.kpis.values():
            if isinstance(state, BaseKpi):
                positions += state.slices.positions
        for absence in self._state.absences.values():
            positions += [] if absence.first_position is None else [absence.first_position]
        waiting = self._backfills.first_position
        return min(positions if waiting is None else [*positions, waiting])

    # --- frames ----------------------------------------------------------------------------

    def apply(self, data: bytes, position: int) -> Emitted:
        """Apply one frame; `position` is the offset of its message in the frames log, not falling.

        While `is_behind` then, `catch_up` closes the next windows; else the next frame does.
        Raises `msgspec.DecodeError` when the bytes are not a frame; nothing has changed then.
        """
        frame = decode(data)
        found = []
        while self._behind:
            found.append(self.catch_up())
        found.append(self._apply(frame, position))
        return _joined(found)

    def _apply(self, frame: Frame, position: int) -> Emitted:
        self._position = position
        self._rows.pass_time(frame.clock_ms)
        replay = self._rows.take_replay()
        sources = self._sources.get(frame.topic)
        if sources is None:
            return replay
        if sources.is_stale(frame):
            return _joined([replay, Emitted(stale=1)])
        late, full = self._take_partials(frame, position)
        # What is sent over was in time when it was sent first.
        counted = Emitted(late=late if sources.is_news(frame) else 0, full=full)
        if not frame.last:
            return _joined([replay, counted])
        sources.take(frame)
        self._missed[frame.topic].note(frame)
        for buffer in self._backfills.note(frame):
            self._begin(buffer)
        return _joined([replay, counted, self._advance(frame.topic)])

    def _take_partials(self, frame: Frame, position: int) -> tuple[int, tuple[str, ...]]:
        """How many partials came too late, and the KPI of each new series that found no room."""
        late = 0
        full: tuple[str, ...] = ()
        for block in frame.blocks:
            state = self._state.kpis.get(block.kpi)
            if not isinstance(state, BaseKpi) or state.kpi.fingerprint != block.fingerprint:
                continue
            if not self._backfills.take(block, frame.partition, position):
                before = state.overflowed
                late += state.take(block, frame.source, position)
                full += (block.kpi,) * (state.overflowed - before)
        for kpi, slices in frame.active.items():
            if kpi in self._state.absences:
                self._state.absences[kpi].note(slices, position)
        return late, full

    def note_events(self, kpi: str, slices: Iterable[int]) -> None:
        """Note slices in which a KPI has events, without a frame, for rules that watch it as a
        whole."""
        if kpi in self._state.absences:
            self._state.absences[kpi].note(slices, self._position)

    # --- time moves on ---------------------------------------------------------------------

    def note_lost_frames(self) -> None:
        """Note, before any frame, that some were gone before they were merged: windows that are
        open now may lack what they held, and are marked."""
        for missed in self._missed.values():
            missed.note_lost_frames()

    @property
    def is_behind(self) -> bool:
        """Whether windows are still to be closed by the frames that were applied."""
        return bool(self._behind)

    def catch_up(self) -> Emitted:
        """Close the next windows that frames applied before let close."""
        return self._advance(min(self._behind)) if self._behind else Emitted()

    def finish(self, topic: str, watermark_ms: int) -> Emitted:
        """Close what ends by a watermark without any frame, for files at their end."""
        found = [self._advance(topic, watermark_ms)]
        while self._behind:
            found.append(self._advance(topic, watermark_ms))
        return _joined(found)

    def _advance(self, topic: str, watermark_ms: int | None = None) -> Emitted:
        sources = self._sources[topic]
        reached = [
            (contract, now)
            for contract in self.plan.contracts_of(topic)
            if (now := sources.watermark_ms(contract) if watermark_ms is None else watermark_ms)
            is not None
        ]
        stride_ms = self._stride_end_ms(reached)
        self._behind.discard(topic)
        if stride_ms is not None:
            self._behind.add(topic)
        steps: list[tuple[str, Step]] = []
        for contract, now in reached:
            steps += self._advance_contract(contract, now, stride_ms)
        if not steps:
            return Emitted()
        absences = [name for name, _ in steps if name in self._state.absences]
        steps += [(name, kpi.advance(inputs)) for name, kpi, inputs in self._state.derived]
        steps += [(name, one.advance()) for name, one in self._state.benchmarked.items()]
        self._state.drop_consumed()
        return self._emission.of(absences, steps)

    def _stride_end_ms(self, reached: Sequence[tuple[Contract, int]]) -> int | None:
        """Up to where the KPIs of a topic close windows now; None: as far as they can."""
        ends, waiting = [], self._backfills.names
        for contract, watermark_ms in reached:
            for kpi in self.plan.kpis_of(contract.name):
                state = self._state.kpis[kpi.name]
                frontier = self._frontier_ms(kpi, watermark_ms)
                if not isinstance(state, BaseKpi) or kpi.name in waiting:
                    continue
                if state.frontier_ms is None or frontier > state.frontier_ms:
                    end = state.stride_end_ms(frontier, STRIDE_WINDOWS)
                    if end < frontier:
                        ends.append(end)
        return min(ends, default=None)

    def _frontier_ms(self, kpi: Kpi, watermark_ms: int) -> int:
        frontier = watermark_ms - kpi.lateness_ms
        return frontier if self._until_ms is None else min(frontier, self._until_ms)

    def _advance_contract(
        self, contract: Contract, watermark_ms: int, stride_ms: int | None
    ) -> list[tuple[str, Step]]:
        steps = []
        for kpi in self.plan.kpis_of(contract.name):
            state = self._state.kpis[kpi.name]
            frontier = self._frontier_ms(kpi, watermark_ms)
            if stride_ms is not None:
                frontier = min(frontier, stride_ms)
            if self._backfills.reached(kpi.name, frontier):
                continue
            if isinstance(state, BaseKpi) and (
                state.frontier_ms is None or frontier > state.frontier_ms
            ):
                steps.append((kpi.name, state.advance(frontier)))
                if kpi.name in self._state.absences:
                    self._state.absences[kpi.name].advance(frontier)
        return steps

    # --- backfills -------------------------------------------------------------------------

    @property
    def waiting_kpis(self) -> frozenset[str]:
        """The KPIs that wait for their past."""
        return self._backfills.names

    def pending_backfills(self) -> list[PendingBackfill]:
        """The KPIs whose past can be read."""
        return self._backfills.pending()

    def adopt(
        self, kpi: str, handoff_ms: int, sources: Collection[int], rows: Sequence[Row]
    ) -> bool:
        """Continue from a KPI's past up to `handoff_ms`, read from these partitions, as the rows
        that it would have left. The next frame moves the KPI on from there.

        False, and nothing has changed: it is not waiting, or not all that came since is here.
        """
        buffer = self._backfills.adopt(kpi, handoff_ms, sources, rows)
        if buffer is None:
            return False
        state = self._state.kpis[kpi]
        for key, _ in rows:
            self._rows.keep(key)
        for _, series in self._rows.read(row for row in rows if not is_chunk(row[0])):
            state.restore(series)
        for key, row in rows:
            if is_chunk(key):
                self._restore_chunk(read_chunk(key, row))
        state.frontier_ms = handoff_ms
        self._begin(buffer)
        return True

    def _begin(self, buffer: BackfillBuffer) -> None:
        """Let a KPI that waited take part, with what came of it since the handoff."""
        name = buffer.kpi.name
        state = self._state.kpis[name]
        if isinstance(state, BaseKpi):
            for source, block in buffer.blocks(self._backfills.handoffs[name]):
                state.take(block, source, buffer.first_position or 0)
        self._rows.keep(marker_key(name))
        self._begin_derived()

    def _begin_derived(self) -> None:
        """Let the KPIs over others know which of those wait, and the last handoff: the windows
        before it, which the others may still have, are not theirs."""
        waiting, handoffs = set(self._backfills.names), dict(self._backfills.handoffs)
        for name, state, _ in self._state.derived:
            waits = not waiting.isdisjoint(state.kpi.inputs)
            waiting |= {name} if waits else set()
            found = [handoffs[one] for one in state.kpi.inputs if one in handoffs]
            if found:
                handoffs[name] = max(found)
            state.begin(waits, max(found, default=None))

    # --- looking at it ---------------------------------------------------------------------

    @property
    def kpis(self) -> dict[str, KpiState]:
        """The states of the KPIs, in dependency order."""
        return self._state.kpis

    @property
    def rule_graph(self) -> RuleGraph:
        """The rules that depend on others."""
        return self._state.rule_graph

    @property
    def size(self) -> int:
        """How many series are held here."""
        return sum(len(state.series) for state in self._state.kpis.values())

    def reported_series(self, rule: Rule) -> Sequence[Series]:
        """The series here that a rule watches and reports."""
        return self._state.reported_series(rule)

    def views(self) -> list[SeriesView]:
        """Every series held here, with its open window as it stands; and, with `dimensions` None,
        the phases of what is watched of a KPI as a whole. A view that did not change is the same
        object as before."""
        absences = [one for one in self._state.absences.values() if one.is_reporter]
        return [
            *self._views.read(),
            *(view_of(one.state, one.series, None) for one in absences if one.series),
            *self._state.rule_graph.views(),
        ]

    def open_windows(self) -> dict[str, list[WindowValue]]:
        """The windows not yet closed that hold rows, by KPI."""
        out: dict[str, list[WindowValue]] = {}
        for name, state in self._state.kpis.items():
            if isinstance(state, BaseKpi):
                out[name] = state.all_open_windows()
            else:
                inputs = [self._state.kpis[i] for i in state.kpi.inputs]
                out[name] = state.open_windows(inputs, [out[i] for i in state.kpi.inputs])
        return out


def _last_transitions(series: Series) -> list[Transition]:
    """What ends the alerts of a composite rule that is declared no more."""
    if not series.kpi.startswith(RULE_SUBJECT):
        return []
    alerts = [(rule, s, a) for rule, states in series.alerts.items() for s, a in states.items()]
    return ended(series.kpi, series.dimensions, series.evaluated_ms, alerts)


def _joined(parts: Sequence[Emitted]) -> Emitted:
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return parts[0] if parts else Emitted()
    return Emitted(
        tuple(window for part in parts for window in part.windows),
        tuple(target for part in parts for target in part.targets),
        tuple(transition for part in parts for transition in part.transitions),
        sum(part.late for part in parts),
        sum(part.stale for part in parts),
        tuple(kpi for part in parts for kpi in part.full),
    )
