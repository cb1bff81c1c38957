"""The page for producers: by contract what became of its events, and no value of theirs."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from agent.core.fold.outcomes import FoldResult
from agent.core.model.event_counts import EventCounts, RecordCounts, RejectedRecord
from agent.core.model.results import Outcome, Reason, Reject
from agent.export.agent_state import AgentState, ContractDocuments
from agent.export.web.pages.producer_pages import producers_page
from agent.export.web.server import serving
from agent.generate.contracts import asyncapi, event_schema
from agent.kafka.rule_sets import WorkerRow
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
    assert "No record was rejected since the workers started." in text
    assert "Counts are of this worker since it started" in text
    assert "Records that match no event" not in text


def test_the_counts_are_those_of_all_workers() -> None:
    name, state = "order.completed", fed()
    last = RejectedRecord(NOW_MS - 1_000, "orders", 1, 5, "out_of_range", "amount: … is too much")
    other = RecordCounts(
        {name: EventCounts(7.0, {"folded": 500, "rejected": 3}, {"out_of_range": 3}, last)},
        {"orders": {"not_json": 2}},
    )
    state.fleet.others = [other, RecordCounts({"gone": EventCounts(1.0, {"folded": 1})})]  # type: ignore[attr-defined]
    text = producers_page(state, NOW_MS)
    rows = re.findall(r"<tr>\s*<th scope=\"row\">(.*?)</tr>", text, re.DOTALL)
    words = " ".join(re.sub(r"<[^>]+>", " ", rows[0]).split())
    assert "1,530.0 2,000 23 (1.1 %) wrong type: 20 out of range: 3 3 0" in words
    assert "out of range: amount: … is too much" in text
    assert "6 not json" in text
    assert "gone" not in text
    assert "Counts are of 3 workers since each started" in text


def test_what_a_worker_counts_comes_back_from_its_row() -> None:
    counts = fed().metrics.record_counts(NOW_MS)
    row = WorkerRow("a:1", "hash", NOW_MS, counts)
    assert msgspec.json.decode(msgspec.json.encode(row), type=WorkerRow) == row
    assert b"secret" not in msgspec.json.encode(row)


async def test_each_event_leads_to_its_contract() -> None:
    plan, name = company(), "order.completed"
    odd = replace(plan.contracts[name], name="order/paid ü")
    plan = replace(plan, contracts={**plan.contracts, "order/paid ü": odd})
    state = replace(running_agent(plan), documents=ContractDocuments(event_schema, asyncapi))
    hrefs = re.findall(r'href="(contracts/[^"]+)"', producers_page(state, NOW_MS))
    assert len(hrefs) == len(plan.contracts)
    async with (
        serving(state, "127.0.0.1", 0, lambda: NOW_MS) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        titles = [(await fetched(client, href))["title"] for href in hrefs]
        assert sorted(titles) == sorted(plan.contracts)
        assert (await fetched(client, "asyncapi.json")) == asyncapi(plan)
        async with client.get("/contracts/nothing") as answer:
            assert (answer.status, await answer.text()) == (404, "no event is called nothing\n")


async def fetched(client: aiohttp.ClientSession, path: str) -> Any:
    async with client.get(URL(f"/{path}", encoded=True)) as answer:
        assert answer.status == 200
        return msgspec.json.decode(await answer.read())
