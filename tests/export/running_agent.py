"""A running agent as the exports read it, with a fleet and rules that a test fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.core.evaluate.objectives import Score
from agent.core.model.event_counts import RecordCounts
from agent.core.model.kpis import Dimensions, Kpi, SeriesRef
from agent.core.model.plan import Plan
from agent.core.model.results import PastWindow, PastWindows, SeriesView
from agent.core.output.messages import PublishedTransition
from agent.core.output.privacy import Privacy
from agent.errors import RulesError
from agent.export.agent_state import AgentState, Alert, RuleChange
from agent.export.metrics.agent_metrics import AgentMetrics


@dataclass
class FilledFleet:
    """One worker that holds all series."""

    series: Sequence[SeriesView] = ()
    active: Sequence[Alert] | None = ()
    history: Sequence[PublishedTransition] = ()
    objectives: Mapping[str, Score] = field(default_factory=dict)
    changes: Sequence[RuleChange] = ()
    others: Sequence[RecordCounts] = ()
    leads: bool = False
    windows: Sequence[PastWindow] = ()
    """What the topic has of the past; `asked` is noted."""
    asked: list[tuple[str, Dimensions | None, int]] = field(default_factory=list)
    holds: Callable[[SeriesRef], bool] = lambda series: True

    def held(self) -> Sequence[SeriesView]:
        return self.series

    def all_series(self) -> Sequence[SeriesView]:
        return self.series

    def is_complete(self) -> bool:
        return True

    def is_leader(self) -> bool:
        return self.leads

    def is_ours(self, series: SeriesRef) -> bool:
        return self.holds(series)

    def scores(self) -> Mapping[str, Score]:
        return self.objectives

    def alerts(self) -> Sequence[Alert]:
        return self.active or ()

    def own_alerts(self) -> Sequence[Alert] | None:
        return self.active

    def transitions(self) -> Sequence[PublishedTransition]:
        return self.history

    def other_counts(self, now_ms: int) -> Sequence[RecordCounts]:
        return self.others

    def rule_changes(self) -> Sequence[RuleChange]:
        return self.changes

    async def past(self, kpi: Kpi, dimensions: Dimensions | None, since_ms: int) -> PastWindows:
        self.asked.append((kpi.name, dimensions, since_ms))
        windows = [w for w in self.windows if dimensions in (None, w.dimensions)]
        return PastWindows(tuple(w for w in windows if w.end_ms > since_ms), True)

    async def explain(self, name: str, series: str) -> dict[str, Any]:
        if name not in {"slow_support"}:
            raise RulesError(f"no rule is called {name}", "Known are: slow_support")
        return {"count": 1, "series": [{"rule": name, "asked": series, "alerts": []}]}


@dataclass
class FilledRules:
    """Rules whose next reloads end as a test says."""

    plan: Plan
    reloads: list[tuple[bool, str] | Exception] = field(default_factory=list)

    async def reload(self) -> tuple[bool, str]:
        result = self.reloads.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def running_agent(
    plan: Plan,
    series: Sequence[SeriesView] = (),
    *,
    fleet: FilledFleet | None = None,
    ready: Mapping[str, str | None] | None = None,
    privacy: Privacy | None = None,
    name: str = "KPI agent",
) -> AgentState:
    return AgentState(
        rules=FilledRules(plan),
        fleet=fleet or FilledFleet(series),
        metrics=AgentMetrics(),
        ready=dict(ready or {}),
        privacy=privacy or Privacy(),
        external_labels={},
        version="0.1.0",
        group="kpi-agent",
        name=name,
    )
