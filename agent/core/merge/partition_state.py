"""The state of one state partition: its KPIs, their `per: kpi` rules, and the rule graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from agent.core.evaluate.composite import CompositeState
from agent.core.evaluate.rule_graph import RuleGraph
from agent.core.evaluate.targets import benchmarks_of
from agent.core.evaluate.thresholds import OnEvaluation
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.benchmark_targets import BenchmarkTargets
from agent.core.merge.derived_kpi import DerivedKpi, KpiState
from agent.core.merge.kpi_absence import KpiAbsence
from agent.core.model.kpis import Kpi, SeriesRef
from agent.core.model.plan import Plan
from agent.core.model.results import WindowValue
from agent.core.model.rules import Rule, dependencies, is_whole
from agent.core.placement import gathering_partition, watch_partition
from agent.core.state.series import Series

MakeKpi = Callable[[Kpi, bool], KpiState]
"""Makes the state of a KPI; the second argument: whether other KPIs read its windows."""


class Consumer(Protocol):
    """A reader of a KPI's closed windows, which are kept until all consumers have read them."""

    @property
    def consumed_ms(self) -> int | None:
        """Windows that end up to here are no longer needed."""


class PartitionState:
    """The state of one partition, by KPI in dependency order."""

    def __init__(
        self,
        plan: Plan,
        state_partition: int,
        state_partitions: int,
        make_kpi: MakeKpi,
        on_evaluation: OnEvaluation | None = None,
    ) -> None:
        read = {name for k in plan.kpis.values() for name in (*k.inputs, *benchmarks_of(k))}
        self.kpis: dict[str, KpiState] = {
            name: make_kpi(kpi, name in read) for name, kpi in plan.kpis.items()
        }
        self.derived = [  # with their inputs
            (name, state, [self.kpis[i] for i in state.kpi.inputs])
            for name, state in self.kpis.items()
            if isinstance(state, DerivedKpi)
        ]
        self.benchmarked = {
            name: BenchmarkTargets(
                plan, state, {b: self.kpis[b] for b in state.evaluator.benchmarks}
            )
            for name, state in self.kpis.items()
            if state.evaluator.benchmarks
        }
        self._consumers: dict[str, list[Consumer]] = {name: [] for name in read}
        for name, state in self.kpis.items():
            if isinstance(state, DerivedKpi):
                for source in state.kpi.inputs:
                    self._consumers[source].append(state)
            for source in state.evaluator.benchmarks:
                self._consumers[source].append(self.benchmarked[name])
        self.absences = self._absences(plan, state_partition, state_partitions)
        self.rule_graph = RuleGraph(
            plan,
            gathering_partition(state_partitions) == state_partition,
            self.series_of,
            self.series,
            self.evaluated_ms,
            on_evaluation,
        )

    def _absences(
        self, plan: Plan, state_partition: int, state_partitions: int
    ) -> dict[str, KpiAbsence]:
        """The KPIs whose `per: kpi` rules are evaluated here."""
        depended_on = {d.subject for r in plan.rules.values() for d in dependencies(r) if d.whole}
        absences = {}
        for name, state in self.kpis.items():
            if isinstance(state, BaseKpi) and state.evaluator.absences.per_kpi:
                reports = watch_partition(plan, name, state_partitions) == state_partition
                if reports or name in depended_on:
                    absences[name] = KpiAbsence(state, reports)
        return absences

    def owner(self, series: Series) -> KpiState | CompositeState | None:
        """The KPI or composite rule that a series belongs to; None: it is not declared, or was
        changed."""
        state = self.kpis.get(series.kpi)
        if state is not None:
            return state if state.kpi.fingerprint == series.fingerprint else None
        composite = self.rule_graph.composites.get(series.kpi)
        known = composite is not None and len(series.dimensions or ()) == len(composite.rule.by)
        return composite if known else None

    def series(self, ref: SeriesRef) -> Series | None:
        """A series of this partition, including expired ones that are still needed."""
        kpi, dimensions = ref
        if dimensions is None:
            absence = self.absences.get(kpi)
            return absence.series if absence else None
        if kpi in self.rule_graph.composites:
            return self.rule_graph.composites[kpi].series.get(dimensions)
        return self.kpis[kpi].find(dimensions)

    def series_of(self, owner: str) -> Sequence[Series]:
        """The series of a KPI or a composite rule."""
        if owner in self.rule_graph.composites:
            return list(self.rule_graph.composites[owner].series.values())
        return list(self.kpis[owner].series.values()) if owner in self.kpis else []

    def reported_series(self, rule: Rule) -> Sequence[Series]:
        """The series whose alerts of a rule are reported from this partition."""
        if is_whole(rule):
            absence = self.absences.get(rule.kpi)
            series = absence.series if absence is not None and absence.is_reporter else None
            return [] if series is None else [series]
        return self.series_of(rule.kpi)

    @property
    def size(self) -> int:
        """The number of series."""
        return sum(len(state.series) for state in self.kpis.values())

    def open_windows(self) -> dict[str, list[WindowValue]]:
        """The open windows that have events, by KPI."""
        out: dict[str, list[WindowValue]] = {}
        for name, state in self.kpis.items():
            if isinstance(state, BaseKpi):
                out[name] = state.all_open_windows()
            else:
                inputs = [self.kpis[i] for i in state.kpi.inputs]
                out[name] = state.open_windows(inputs, [out[i] for i in state.kpi.inputs])
        return out

    def evaluated_ms(self, kpi: str) -> int | None:
        """How far the windows of a KPI are evaluated."""
        if kpi in self.benchmarked:
            return self.benchmarked[kpi].frontier_ms
        return self.kpis[kpi].frontier_ms if kpi in self.kpis else None

    def mark_durable(self) -> None:
        """Note that the rows contain all applied frames: what only a restart would need again may
        be dropped."""
        self.rule_graph.mark_durable()
        for benchmarked in self.benchmarked.values():
            benchmarked.mark_durable()

    def drop_consumed(self) -> None:
        """Drop the closed windows that all consumers have read."""
        for name, consumers in self._consumers.items():
            reached = [consumer.consumed_ms for consumer in consumers]
            known = [at for at in reached if at is not None]
            if len(known) < len(reached):
                continue
            consumed_ms = min(known)
            for series in self.kpis[name].unread_series:
                series.drop_read(consumed_ms)
