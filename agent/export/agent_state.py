"""The state of a running agent, as the exports read it: rules, fleet, metrics, readiness.

Everything is used on one event loop, without locks. The exports copy what they need on the loop,
and do the long part of the work in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.core.evaluate.objectives import Score
from agent.core.model.event_counts import RecordCounts
from agent.core.model.events import Contract
from agent.core.model.kpis import Dimensions, Kpi, SeriesRef
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, PastWindows, SeriesView
from agent.core.model.rules import Severity
from agent.core.output.messages import PublishedTransition
from agent.core.output.privacy import Privacy
from agent.export.metrics.agent_metrics import AgentMetrics


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as the board shows it: pending, firing, or resolved a short while ago.

    `since_ms` is the event time at which it entered this phase.
    """

    rule: str
    severity: Severity
    kpi: str
    dimensions: Dimensions
    phase: AlertPhase
    since_ms: int | None = None
    value: float | None = None
    summary: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A change of the rules: when the first worker adopted it (wall clock, ms), and its
    description. `about`: by KPI, the part that concerns it; `is_general`: it may concern any."""

    at_ms: int
    text: str
    about: Mapping[str, str] = field(default_factory=dict)
    is_general: bool = True


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses of the board, Grafana and the runbooks for people, without a slash at the end;
    "": not known, so that nothing links there."""

    board: str = ""
    grafana: str = ""
    runbooks: str = ""


NO_LINKS = Links()


class Rules(Protocol):
    """The rules that the agent runs by."""

    @property
    def plan(self) -> Plan:
        """The rules in use."""

    async def reload(self) -> tuple[bool, str]:
        """Load the rules again; returns whether that was done, and the change or the problems."""


class Fleet(Protocol):
    """The series and alerts of all workers, as this one knows them.

    Called at every scrape and board refresh: the same list is returned until something in it
    changes. A view whose dimensions are None, or empty though the KPI has some, is of the KPI as a
    whole: only its rule phases (`per: kpi` rules) are read.
    """

    def held(self) -> Sequence[SeriesView]:
        """The series that this worker holds."""

    def all_series(self) -> Sequence[SeriesView]:
        """The series of all workers."""

    def is_complete(self) -> bool:
        """Whether the series of all workers are known; until then, objectives and KPIs as a whole
        can't be evaluated."""

    def is_leader(self) -> bool:
        """Whether this worker exports what is not of a single series: objectives and `per: kpi`
        rules."""

    def is_ours(self, series: SeriesRef) -> bool:
        """Whether this worker holds a series."""

    def scores(self) -> Mapping[str, Score]:
        """The score of each objective."""

    def alerts(self) -> Sequence[Alert]:
        """The alerts of all workers, with their texts."""

    def own_alerts(self) -> Sequence[Alert] | None:
        """The alerts of the series that this worker holds; None while they are not known."""

    def transitions(self) -> Sequence[PublishedTransition]:
        """The last transitions of all alerts, newest first."""

    def other_counts(self, now_ms: int) -> Sequence[RecordCounts]:
        """What each of the other workers that run has counted, as of some seconds ago."""

    def rule_changes(self) -> Sequence[RuleChange]:
        """The last changes of the rules, oldest first."""

    async def explain(self, name: str, series: str) -> dict[str, Any]:
        """Explain a rule for the series of all workers: `series`, the most urgent ones of `count`.
        Raises RulesError for an unknown rule or series, and EnvironmentFault if the worker that
        holds a series does not reply."""

    async def past(self, kpi: Kpi, dimensions: Dimensions | None, since_ms: int) -> PastWindows:
        """The closed windows of a KPI (`dimensions` None) or of one of its series that ended since
        an instant, as far as the values topic still has them."""


@dataclass(frozen=True, slots=True)
class ContractDocuments:
    """How contracts are written for producers: the JSON Schema of an event, and the AsyncAPI
    document of all topics."""

    schema: Callable[[Contract], Mapping[str, Any]]
    asyncapi: Callable[[Plan], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class AgentState:
    """A running agent, for `/metrics`, `/-/ready`, `/-/reload`, the board and Alertmanager.

    `ready`: by component None, or the reason why it is not ready. `privacy`: hashes the people of
    private KPIs in what is published. `external_labels`: on all series and alerts, to name the
    environment. `group`: the consumer group, by which installations are distinguished. `name`: the
    board's heading. `timezone`: the IANA name of the zone of all times on pages. `documents` None:
    no contracts are served.
    """

    rules: Rules
    fleet: Fleet
    metrics: AgentMetrics
    ready: Mapping[str, str | None]
    privacy: Privacy
    external_labels: Mapping[str, str]
    version: str
    group: str
    name: str
    links: Links = NO_LINKS
    timezone: str = "UTC"
    documents: ContractDocuments | None = None

    @property
    def plan(self) -> Plan:
        """The rules in use."""
        return self.rules.plan
