"""The source topics on the board: progress, missed records, and outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain

from agent.core.model.results import Outcome, SeriesView
from agent.export.agent_state import AgentState
from agent.export.metrics.agent_metrics import samples
from agent.export.web.shown import Json

MISSED_SHOWN_MS = 3_600_000
"""As long as the generated alert about it fires."""


def data_until_ms(state: AgentState, series: Iterable[SeriesView]) -> int | None:
    """How far event time has got, by the newest source or window of any worker."""
    newest = max((round(s.value * 1000) for s in samples(state.metrics.watermark)), default=0)
    ends = (v.closed.end_ms for v in series if v.closed is not None)
    return max(chain((newest,), ends)) or None


def missed_json(state: AgentState, now_ms: int) -> list[Json]:
    """By topic, an upper bound of the records that were deleted before they were read; for
    MISSED_SHOWN_MS after the last."""
    at_ms = state.metrics.missed_at_ms
    if at_ms is None or now_ms - at_ms > MISSED_SHOWN_MS:
        return []
    by_topic: Counter[str] = Counter()
    for sample in samples(state.metrics.records_missed):
        by_topic[sample.labels["topic"]] += int(sample.value)
    return [{"topic": t, "records": count} for t, count in sorted(by_topic.items()) if count]


def sources_json(state: AgentState) -> list[Json]:
    """The records read of each source topic by outcome, while no event at all has been counted, to
    show whether nothing arrives or everything is rejected; else []."""
    topics = sorted({*state.plan.topics, *state.metrics.source_topics})
    outcomes = {topic: Counter[str]() for topic in topics}
    for sample in samples(state.metrics.records):
        topic, outcome = sample.labels["topic"], sample.labels["outcome"]
        if topic in outcomes and sample.value:
            outcomes[topic][sample.labels["reason"] or outcome] += int(sample.value)
            if outcome == Outcome.FOLDED:
                return []
    return [
        {
            "topic": topic,
            "records": counts.total(),
            "why": [
                {"outcome": name, "records": records} for name, records in counts.most_common(3)
            ],
        }
        for topic, counts in outcomes.items()
    ]
