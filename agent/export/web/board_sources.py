"""What the board says of the sources: how far they are read, what is missing, what arrives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

from agent.core.model.results import Outcome, SeriesView
from agent.export.agent_state import AgentState

Json = dict[str, Any]

MISSED_SHOWN_MS = 3_600_000
"""As long as the generated alert fires."""


def data_until_ms(state: AgentState, series: Iterable[SeriesView]) -> int | None:
    """How far event time has got, by the newest source or window of any worker."""
    newest = max(state.stats.watermark_ms.values(), default=0)
    ends = (v.closed.end_ms for v in series if v.closed is not None)
    return max(chain((newest,), ends)) or None


def missed_json(state: AgentState, now_ms: int) -> list[Json]:
    """Records that were gone before they were read, at most, by topic; for a while after that."""
    at_ms = state.stats.records_missed_ms
    if at_ms is None or now_ms - at_ms > MISSED_SHOWN_MS:
        return []
    by_topic: Counter[str] = Counter()
    for (topic, _), records in state.stats.records_missed.items():
        by_topic[topic] += records
    return [{"topic": t, "records": count} for t, count in sorted(by_topic.items()) if count]


def sources_json(state: AgentState) -> list[Json]:
    """What was read of each source topic, while no event of any has been counted:
    then people want to know whether nothing comes, or what comes is not taken."""
    topics = sorted({*state.plan.topics, *state.stats.source_topics})
    read, outcomes = state.stats.records, {topic: Counter[str]() for topic in topics}
    for (topic, outcome, reason, _), records in read.items():
        if topic in outcomes and records:
            outcomes[topic][reason or outcome] += records
            if outcome == Outcome.FOLDED:
                return []
    return [
        {
            "topic": topic,
            "records": of.total(),
            "why": [{"outcome": name, "records": records} for name, records in of.most_common(3)],
        }
        for topic, of in outcomes.items()
    ]
