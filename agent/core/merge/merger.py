"""Stage 2: frames in, closed windows, target states and alert transitions out.

There is one `Merger` per state partition: a pure function of that partition's log of frames. A
partial whose windows are all closed is dropped and counted (`unsettled`).

States
------
| state | module |
|---|---|
| per source partition, its watermark and gaps | `watermark`, `missed_records` |
| the same at the position from which a restart reads | `source_snapshots` |
| per KPI, unsealed slices, and series with their panes | `partition_state`, `base_kpi` |
| per KPI, its frontier, up to which its windows are closed | `frontiers` |
| rows to write to the table | `row_store` |
| KPIs that wait for their backfill | `backfill_buffer` |

Events
------
| event | effect | module |
|---|---|---|
| `restore` | state continues from the rows of the table, before any frame | `recovery` |
| `apply` | the partials of a frame replace those of the same source and slice | here |
| | the last frame of a flush advances the watermark of its source | `watermark` |
| | frontiers advance with it, and windows close | `frontiers` |
| `catch_up` | the next windows close, while `is_behind` | `frontiers` |
| `adopt` | a KPI continues from its finished backfill | `recovery` |
| `drain_rows` | a round: returns the rows that changed since the last one | here |

Rules
-----
1. A slice is sealed, and a window closed, once the frontier (the watermark minus the lateness) has
   passed its end. This happens in the order of their ends, however far one frame advances the
   watermark.
2. A series has every window from its first event on, including empty ones, until it expires. Time
   without any series is skipped.
3. If very many windows can close, they are closed in strides (`frontiers`).

Exceptions
----------
- A frame that covers less than one that was applied is skipped, and counted as stale.
- A frame of a topic that no contract reads is skipped. So is a block of a KPI that is not declared
  or has another fingerprint.
- Bytes that are not a frame raise `msgspec.DecodeError`, and change nothing.

Commit
------
1. `apply` frames, and `catch_up`.
2. `needed_position`: the first frame that a restart from the current state needs.
3. `drain_rows`: write them, in their order, and wait until the changelog has them.
4. Publish what was emitted, and wait.
5. Acknowledge the frames before the position of step 2.

After a crash at any point, `restore` the rows and `apply` the frames from the acknowledged position
on. The last results of each row are emitted again under the same keys, because step 4 may not have
been completed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from itertools import chain

from agent.core.evaluate.evaluator import Evaluator
from agent.core.evaluate.thresholds import OnEvaluation
from agent.core.frame import Frame, decode
from agent.core.merge.backfill_buffer import BackfillBuffers, PendingBackfill
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.derived_kpi import DerivedKpi, KpiState
from agent.core.merge.emission import Emission, concatenated
from agent.core.merge.frontiers import Frontiers
from agent.core.merge.live_series import series_limit
from agent.core.merge.missed_records import MissedByTopic, MissedForKpi
from agent.core.merge.partition_state import PartitionState
from agent.core.merge.recovery import Recovery
from agent.core.merge.row_store import RowStore
from agent.core.merge.source_snapshots import SourceSnapshots
from agent.core.merge.views import Views
from agent.core.merge.watermark import Source, Sources
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, SeriesView
from agent.core.state.rows import SOURCES_KEY, Row, Write, is_of_topic, topic_of


class Merger:
    """Stage 2 of one state partition. Not thread-safe. `state` is read-only for callers."""

    def __init__(
        self,
        plan: Plan,
        state_partition: int,
        state_partitions: int,
        until_ms: int | None = None,
        on_evaluation: OnEvaluation | None = None,
        make_kpi: Callable[[Evaluator, bool], KpiState | None] = lambda evaluator, is_read: None,
    ) -> None:
        """`until_ms`: event time does not advance further. `on_evaluation` is called with every
        evaluation of a rule. `make_kpi` may create the state of a KPI; if it returns None, a
        default one is created (`agent.core.fixed_windows` uses this)."""
        self.plan = plan
        self._partitions = state_partitions
        self._sources = Sources(plan.contracts.values())
        self._missed = MissedByTopic(plan)
        order = {name: index for index, name in enumerate(plan.kpis)}
        self._rows = RowStore(order)

        def make(kpi: Kpi, is_read: bool) -> KpiState:
            evaluator = Evaluator(plan, kpi, on_evaluation)
            return make_kpi(evaluator, is_read) or self._make_kpi(evaluator, is_read)

        self.state = PartitionState(plan, state_partition, state_partitions, make, on_evaluation)
        emission = Emission(self.state, self._rows, order)
        self._views = Views(self.state)
        self._snapshots = SourceSnapshots(self._sources)
        self._backfills = BackfillBuffers(plan, self._sources, self._missed)
        self._frontiers = Frontiers(
            plan, self._sources, self.state, self._backfills, emission, until_ms
        )
        self._recovery = Recovery(self.state, self._rows, self._backfills, emission)
        self._position = -1

    def _make_kpi(self, evaluator: Evaluator, is_read: bool) -> KpiState:
        """The state of a KPI; `is_read`: derived KPIs read its windows."""
        plan, kpi = self.plan, evaluator.kpi
        missed = MissedForKpi(
            [
                (base, self._missed.of_contract(base.contract or ""))
                for base in plan.bases_under(kpi.name)
            ]
        )
        if kpi.contract is None:
            return DerivedKpi(plan, evaluator, is_read, missed)
        limit = series_limit(kpi, self._partitions, partial(self._rows.bytes_of, kpi.name))
        sources = self._sources.of_contract(kpi.contract)
        return BaseKpi(evaluator, limit, is_read, missed, sources)

    # --- frames ----------------------------------------------------------------------------

    def apply(self, data: bytes, position: int) -> Emitted:
        """Apply one frame; `position` is the offset of its message in the frames log, ascending.

        If the merger `is_behind` afterwards, call `catch_up`; otherwise the next frame does it.
        Raises `msgspec.DecodeError` if the bytes are not a frame; nothing has changed then.
        """
        frame = decode(data)
        emitted = []
        while self.is_behind:
            emitted.append(self.catch_up())
        emitted.append(self._apply(frame, position))
        return concatenated(emitted)

    def _apply(self, frame: Frame, position: int) -> Emitted:
        if position != self._position:
            self._snapshots.note(position, self._position)
        self._position = position
        self._rows.expire_unknown(frame.clock_ms)
        replay = self._rows.drain_replay()
        if self._snapshots.is_before(position):
            return replay
        contracts = [contract.name for contract in self.plan.contracts_of(frame.topic)]
        if not contracts:
            return replay
        sources = self._sources.of_topic(frame.topic)
        if sources.is_stale(frame):
            return concatenated([replay, Emitted(stale=1)])
        is_new = sources.covers_new_records(frame)
        late, full = self._apply_partials(frame, sources.source_of(frame), position)
        for kpi, slices in frame.active.items():
            if kpi in self.state.absences:
                self.state.absences[kpi].note(slices, position, is_new)
        # The partials of a resent frame were in time when it was sent first.
        counted = Emitted(late=late if is_new else 0, full=full)
        if not frame.last:
            sources.flushing.add(frame.partition)
            return concatenated([replay, counted])
        self._sources.update(frame)
        self._missed.of_topic(frame.topic).note(frame)
        for buffer in self._backfills.note(frame):
            self._recovery.begin(buffer)
        return concatenated([replay, counted, self._frontiers.advance(contracts)])

    def _apply_partials(
        self, frame: Frame, source: int, position: int
    ) -> tuple[int, tuple[str, ...]]:
        """Apply the partials of a frame. Returns how many were too late, and the name of the KPI
        for each new series beyond its limits."""
        late = 0
        overflowed: dict[BaseKpi, int] = {}  # before the frame
        for block in frame.blocks:
            state = self.state.kpis.get(block.kpi)
            if not isinstance(state, BaseKpi) or state.kpi.fingerprint != block.fingerprint:
                continue
            if not self._backfills.buffer(block, source, position):
                if state not in overflowed:
                    overflowed[state] = state.overflowed
                late += state.update(block, source, position)
        full = (
            (state.kpi.name,) * (state.overflowed - before) for state, before in overflowed.items()
        )
        return late, tuple(chain.from_iterable(full))

    @property
    def is_behind(self) -> bool:
        """Whether more windows can close: call `catch_up`."""
        return self._frontiers.is_behind

    def catch_up(self) -> Emitted:
        """Close the next windows that can close."""
        return self._frontiers.catch_up()

    # --- without frames --------------------------------------------------------------------

    def finish(self, contracts: Sequence[str], watermark_ms: int) -> Emitted:
        """Close the windows of some contracts up to a watermark without a frame, for files that
        have ended."""
        return self._frontiers.finish(contracts, watermark_ms)

    def end(self, topic: str, partition: int) -> None:
        """Note that a source has ended, as a file does, and sends no more frames."""
        self._sources.of_topic(topic).ended.add(partition)

    def note_events(self, kpi: str, slices: Iterable[int]) -> None:
        """Note slices with events of a KPI without a frame, for its `per: kpi` rules."""
        if kpi in self.state.absences:
            self.state.absences[kpi].note(slices, self._position, is_new=False)

    def note_lost_frames(self) -> None:
        """Note, before any frame, that frames were deleted before they were merged. The windows
        that are open now may lack partials, and are marked as incomplete."""
        self._missed.note_lost_frames()

    # --- rows ------------------------------------------------------------------------------

    def restore(self, rows: Iterable[Row]) -> None:
        """Continue from the rows of this partition, before any frame.

        Raises UnknownVersion and DamagedRow.
        """
        own, frontiers = [], dict[str, int]()
        for key, row in rows:
            if key == SOURCES_KEY:
                frontiers = self._snapshots.restore(row)
            elif not is_of_topic(key):
                own.append((key, row))
            elif self.plan.contracts_of(topic := topic_of(key)):
                self._missed.of_topic(topic).restore(key, row)
            else:
                self._rows.keep_unknown(key)
        self._recovery.restore(own)
        self._frontiers.restore(frontiers)

    def drain_rows(self) -> list[Write]:
        """The rows to write (None: to delete) since the last call. Their order keeps the table
        consistent if a crash interrupts the writes."""
        before: list[Write] = [*self._backfills.drain_rows()]
        for missed in self._missed:
            before += missed.drain_rows()
        for state in self.state.kpis.values():
            if state.evaluator.archive is not None:
                before += state.evaluator.archive.rows()
        graph = self.state.rule_graph
        writes = self._rows.writes(self.state.series, before, graph.prune)
        writes += self._snapshots.rows(self._needed_position())
        self.mark_durable()
        return writes

    def mark_durable(self) -> None:
        """Note that the rows contain all applied frames, or that there are no rows."""
        self.state.mark_durable()

    @property
    def is_full(self) -> bool:
        """Whether so much was emitted since `drain_rows` that the rows should be written now."""
        return self._rows.is_full

    def needed_position(self) -> int:
        """The first offset of the frames log that a restart would need."""
        return self._snapshots.before(self._needed_position())

    def _needed_position(self) -> int:
        # While windows can still close, a restart needs the watermark of the last frame.
        positions = [self._position if self.is_behind else self._position + 1]
        for state in self.state.kpis.values():
            if isinstance(state, BaseKpi):
                positions += state.slices.positions
        for absence in self.state.absences.values():
            positions += [] if absence.first_position is None else [absence.first_position]
        waiting = self._backfills.first_position
        return min(positions if waiting is None else [*positions, waiting])

    # --- backfills -------------------------------------------------------------------------

    @property
    def waiting_kpis(self) -> frozenset[str]:
        """The KPIs that wait for their backfill."""
        return self._backfills.names

    def pending_backfills(self) -> list[PendingBackfill]:
        """The KPIs whose backfill can be read."""
        return self._backfills.pending()

    def adopt(
        self, kpi: str, handoff_ms: int, sources: Collection[Source], rows: Sequence[Row]
    ) -> bool:
        """Continue from the rows of a KPI's backfill up to `handoff_ms`, read from these source
        partitions. Returns False, and changes nothing, if the KPI is not waiting, or if live
        partials since then are missing."""
        return self._recovery.adopt(kpi, handoff_ms, sources, rows)

    def views(self) -> list[SeriesView]:
        """Every series of this partition with its open window; with `dimensions` None, the phases
        of `per: kpi` rules. A view that did not change is the same object as before."""
        return self._views.read()
