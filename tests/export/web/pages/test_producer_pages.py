"""The page for producers: by contract what became of its events, and no value of theirs."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from agent.core.fold.outcomes import FoldResult
from agent.core.model.results import Outcome, Reason, Reject
from agent.export.agent_state import AgentState
from agent.export.web.pages.producer_pages import producers_page
from tests.export.running_agent import running_agent
from tests.generate.plans import company

NOW_MS = 1_740_990_000_000


def fed() -> AgentState:
    """A state after some records of an event that a team answers for."""
    plan, name = company(), "order.completed"
    contract = replace(plan.contracts[name], team="checkout", owner="ann <a>")
    state = running_agent(replace(plan, contracts={**plan.contracts, name: contract}))
    topic = contract.topics.default
    result = FoldResult(
        Counter({
            (Outcome.FOLDED, name, None): 1_500,
            (Outcome.LATE, name, None): 3,
            (Outcome.REJECTED, name, Reason.WRONG_TYPE): 20,
            (Outcome.REJECTED, None, Reason.NOT_JSON): 4,
        }),
        ((0, Reject(2, 77, name, Reason.WRONG_TYPE, 'amount: found the string "secret"')),),
        (),
    )  # fmt: skip
    for (outcome, event, reason), records in result.counts.items():
        key = (topic, outcome.value, reason.value if reason else "", event or "")
        state.metrics.records.labels(*key).inc(records)
    counts = Counter({name: 1_523})
    rejects = [reject for _, reject in result.rejects]
    state.metrics.arrivals.note(topic, counts, rejects, NOW_MS - 60_000)
    return state


def test_each_event_has_its_counts_reasons_and_producers() -> None:
    text = producers_page(fed(), NOW_MS)
    rows = re.findall(r"<tr>\s*<th scope=\"row\">(.*?)</tr>", text, re.DOTALL)
    words = " ".join(re.sub(r"<[^>]+>", " ", rows[0]).split())
    assert "checkout ann &lt;a&gt; 1,523.0 1,500 20 (1.3 %) wrong type: 20 3 0" in words
    assert "4 not json" in text


def test_the_last_rejected_record_is_shown_without_its_values() -> None:
    text = producers_page(fed(), NOW_MS)
    assert "wrong type: amount: found the string &#34;…&#34;" in text
    assert "partition 2, offset 77" in text
    assert "secret" not in text


def test_before_anything_arrived_the_page_says_so() -> None:
    text = producers_page(running_agent(company()), NOW_MS)
    assert "No record was rejected since this worker started." in text
    assert "Records that match no event" not in text
