"""The page for the teams that produce events: `/producers`, the outcomes of their records by
contract.

Its counts are of all workers: this one's are current, the others' as they last wrote them.
"""

from __future__ import annotations

from urllib.parse import quote

from agent.core.model.event_counts import EventCounts, RecordCounts
from agent.core.model.events import Contract
from agent.core.model.results import Outcome
from agent.export.agent_state import AgentState
from agent.export.arrivals import MINUTES
from agent.export.web.shown import clock_text, html, iso_text


def event_counts(state: AgentState, counts: RecordCounts) -> list[tuple[Contract, EventCounts]]:
    """The counts of all contracts, those with the most rejected records first."""
    pairs = [(c, counts.events.get(c.name, EventCounts())) for c in state.plan.contracts.values()]
    return sorted(
        pairs, key=lambda pair: (-pair[1].outcomes.get(Outcome.REJECTED, 0), pair[0].name)
    )


def producers_page(state: AgentState, now_ms: int) -> str:
    """The page as HTML."""
    counts = sum(state.fleet.other_counts(now_ms), state.metrics.record_counts(now_ms))
    return html(
        "producers.html",
        board=state.name,
        timezone=state.timezone,
        minutes=MINUTES,
        workers=counts.workers,
        events=event_counts(state, counts),
        unread=counts.unread,
        has_documents=state.documents is not None,
        clock=lambda at_ms: clock_text(at_ms, now_ms, state.timezone, seconds=True),
        iso=lambda at_ms: iso_text(at_ms, state.timezone),
        in_address=lambda name: quote(name, safe=""),
        top=lambda reasons: sorted(reasons.items(), key=lambda pair: -pair[1]),
        words=lambda reason: reason.replace("_", " "),
    )
