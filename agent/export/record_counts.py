"""What this worker has counted of each event, for the page of producers and for other workers."""

from __future__ import annotations

from collections import Counter, defaultdict

from agent.core.model.event_counts import EventCounts, RecordCounts
from agent.export.metrics.agent_metrics import AgentMetrics, samples


def own_counts(metrics: AgentMetrics, now_ms: int) -> RecordCounts:
    """The counts since the worker started, by `kpi_agent_records_total`. `now_ms` is wall clock."""
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    unread: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples(metrics.records):
        if not sample.value:
            continue
        event, outcome = sample.labels["contract"], sample.labels["outcome"]
        reason, records = sample.labels["reason"], int(sample.value)
        if not event:
            unread[sample.labels["topic"]][reason or outcome] += records
            continue
        outcomes[event][outcome] += records
        if reason:
            reasons[event][reason] += records
    arrivals = metrics.arrivals
    events = {
        name: EventCounts(
            arrivals.per_minute(name, now_ms), counts, reasons[name], arrivals.last_rejected(name)
        )
        for name, counts in outcomes.items()
    }
    return RecordCounts(events, unread)
