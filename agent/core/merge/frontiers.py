"""Advances the frontiers of a state partition's KPIs with the watermarks of their contracts.

The *frontier* of a KPI is the watermark of its contract minus the KPI's lateness. One advance
closes windows of many KPIs; results are emitted in event-time order across KPIs.

If very many windows can close, they are closed in strides of about `STRIDE_WINDOWS`. A stride has
the same results as a frame with an earlier watermark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.core.merge.backfill_buffer import BackfillBuffers
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.emission import Emission, concatenated
from agent.core.merge.partition_state import PartitionState
from agent.core.merge.step import Step
from agent.core.merge.watermark import Sources
from agent.core.model.events import Contract
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted

STRIDE_WINDOWS = 4_000
"""About how many windows one call closes: a tenth of a second of work."""


class Frontiers:
    """The frontiers of one state partition. `until_ms`: event time stops there."""

    def __init__(
        self,
        plan: Plan,
        sources: Sources,
        state: PartitionState,
        backfills: BackfillBuffers,
        emission: Emission,
        until_ms: int | None,
    ) -> None:
        self._plan = plan
        self._sources = sources
        self._state = state
        self._backfills = backfills
        self._emission = emission
        self._until_ms = until_ms
        # Groups of contracts that were advanced by a stride only, and can advance further.
        self._behind: set[tuple[str, ...]] = set()

    def restore(self, frontiers: Mapping[str, int]) -> None:
        """Continue from the frontiers before a restart, by contract."""
        waiting = self._backfills.names
        for contract, frontier_ms in frontiers.items():
            for kpi in self._plan.kpis_of(contract):
                state = self._state.kpis[kpi.name]
                if isinstance(state, BaseKpi) and kpi.name not in waiting:
                    state.continue_from(frontier_ms)

    @property
    def is_behind(self) -> bool:
        """Whether more windows can close."""
        return bool(self._behind)

    def catch_up(self) -> Emitted:
        """Close the windows of the next stride."""
        return self.advance(min(self._behind)) if self._behind else Emitted()

    def finish(self, contracts: Sequence[str], watermark_ms: int) -> Emitted:
        """Close the windows up to a watermark without a frame, for files that have ended."""
        emitted = [self.advance(contracts, watermark_ms)]
        while self._behind:
            emitted.append(self.advance(contracts, watermark_ms))
        return concatenated(emitted)

    def advance(self, contracts: Sequence[str], watermark_ms: int | None = None) -> Emitted:
        """Close the windows of the next stride of some contracts' KPIs, up to `watermark_ms` or, if
        None, up to the watermarks of the contracts."""
        names = tuple(contracts)
        reached = [
            (self._plan.contracts[name], now)
            for name in names
            if (now := self._watermark_ms(name) if watermark_ms is None else watermark_ms)
            is not None
        ]
        stride_ms = self._stride_end_ms(reached)
        self._behind.discard(names)
        if stride_ms is not None:
            self._behind.add(names)
        steps: list[tuple[str, Step]] = []
        for contract, now in reached:
            steps += self._advance_contract(contract, now, stride_ms)
        if not steps:
            return Emitted()
        absences = [name for name, _ in steps if name in self._state.absences]
        steps += [(name, kpi.advance(inputs)) for name, kpi, inputs in self._state.derived]
        steps += [(name, targets.advance()) for name, targets in self._state.benchmarked.items()]
        self._state.drop_consumed()
        return self._emission.emit(absences, steps)

    def _watermark_ms(self, contract: str) -> int | None:
        return self._sources.of_contract(contract).watermark_ms()

    def _stride_end_ms(self, reached: Sequence[tuple[Contract, int]]) -> int | None:
        """The instant up to which windows close in this stride; None: all that can close."""
        ends, waiting = [], self._backfills.names
        for contract, watermark_ms in reached:
            for kpi in self._plan.kpis_of(contract.name):
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
        for kpi in self._plan.kpis_of(contract.name):
            state = self._state.kpis[kpi.name]
            frontier = self._frontier_ms(kpi, watermark_ms)
            if stride_ms is not None:
                frontier = min(frontier, stride_ms)
            if self._backfills.note_frontier(kpi.name, frontier):
                continue
            if isinstance(state, BaseKpi) and (
                state.frontier_ms is None or frontier > state.frontier_ms
            ):
                steps.append((kpi.name, state.advance(frontier)))
                if kpi.name in self._state.absences:
                    self._state.absences[kpi.name].advance(frontier)
        return steps
