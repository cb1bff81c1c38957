"""The page for the teams that produce events: `/producers`, by contract what became of them.

Its counts are of this worker, since it started; they are read off `kpi_agent_records_total`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.core.model.events import Contract
from agent.core.model.results import Outcome
from agent.export.agent_state import AgentState
from agent.export.arrivals import MINUTES, Rejected
from agent.export.metrics.agent_metrics import samples
from agent.export.templates import html_template
from agent.export.web.clock import clock_text, iso_text

_TEMPLATES = Path(__file__).parent.parent / "templates"


@dataclass(slots=True)
class EventCounts:
    """What became of the records of one contract; `reasons` are those of the rejected ones."""

    contract: Contract
    per_minute: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    example: Rejected | None = None

    @property
    def rejected_percent(self) -> float:
        """Of a hundred records, how many were rejected."""
        total = self.outcomes.total()
        return 100 * self.outcomes[Outcome.REJECTED] / total if total else 0.0


def event_counts(state: AgentState, now_ms: int) -> list[EventCounts]:
    """The counts of all contracts, those with the most rejected records first."""
    arrivals = state.metrics.arrivals
    by_contract = {
        name: EventCounts(
            contract, arrivals.per_minute(name, now_ms), example=arrivals.last_rejected(name)
        )
        for name, contract in state.plan.contracts.items()
    }
    for sample in samples(state.metrics.records):
        counts = by_contract.get(sample.labels["contract"])
        if counts is not None and sample.value:
            counts.outcomes[sample.labels["outcome"]] += int(sample.value)
            if sample.labels["reason"]:
                counts.reasons[sample.labels["reason"]] += int(sample.value)
    return sorted(
        by_contract.values(), key=lambda c: (-c.outcomes[Outcome.REJECTED], c.contract.name)
    )


def unread(state: AgentState) -> Mapping[str, Counter[str]]:
    """Records that belong to no contract, by topic: why they were rejected, or ignored."""
    topics: dict[str, Counter[str]] = {}
    for sample in samples(state.metrics.records):
        if not sample.labels["contract"] and sample.value:
            reason = sample.labels["reason"] or sample.labels["outcome"]
            topics.setdefault(sample.labels["topic"], Counter())[reason] += int(sample.value)
    return topics


def producers_page(state: AgentState, now_ms: int) -> str:
    """The page as HTML."""
    return html_template(_TEMPLATES, "producers.html").render(
        board=state.name,
        timezone=state.timezone,
        minutes=MINUTES,
        events=event_counts(state, now_ms),
        unread=unread(state),
        clock=lambda at_ms: clock_text(at_ms, now_ms, state.timezone, seconds=True),
        iso=lambda at_ms: iso_text(at_ms, state.timezone),
        words=lambda reason: reason.replace("_", " "),
    )
