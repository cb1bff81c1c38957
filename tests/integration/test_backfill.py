"""A KPI that is given an hour of its past on a real Kafka, by an agent that dies at it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import count

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import Producer

from .feeds import read
from .stage import PARTITIONS, Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]

WINDOW_MS, HOUR_MS = 10_000, 3_600_000
STEP_MS = 50
RULES = """
version: 1
defaults: {{lateness: 2s, idle_after: 1h}}
events:
  order:
    topic: {topic}
    type_field: none
    time: at
    id: id
    fields: {{amount: integer, region: string}}
kpis:
  orders: {{from: order, value: count(*), window: 10s}}
"""
ADDED = """
  amount: {from: order, value: sum(amount), by: [region], window: 10s, backfill: 1h}
rules:
  any: {kpi: amount, when: value > 0}
"""


class Orders:
    """Writes orders in the order of their time, each with its time as the record's timestamp."""

    def __init__(self, address: str, topic: str, start_ms: int) -> None:
        # Idempotent: a batch that is sent again must not come after later ones, and be late.
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "linger.ms": 20,
                "enable.idempotence": True,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._topic = topic
        self.start_ms = start_ms
        self._numbers = count()
        self.sums: Counter[tuple[str, int]] = Counter()
        self.at_ms = start_ms

    def write(self, until_ms: int) -> None:
        """Write what happens up to an instant."""
        while self.at_ms + STEP_MS <= until_ms:
            number = next(self._numbers)
            self.at_ms = at_ms = self.start_ms + number * STEP_MS
            region, amount = "abc"[number % 3], number % 17
            order = {"id": number, "at": at_ms, "amount": amount, "region": region}
            self._producer.produce(
                self._topic, json.dumps(order).encode(), partition=number % PARTITIONS,
                timestamp=at_ms,
            )  # fmt: skip
            self.sums[region, at_ms - at_ms % WINDOW_MS] += amount
            if not number % 1000:
                self._producer.poll(0)
        self._producer.flush()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def start_of(line: dict[str, str]) -> int:
    return int(datetime.fromisoformat(line["start"]).timestamp() * 1000)


def windows(stage: Stage, kpi: str) -> dict[tuple[str, int], float]:
    """What was reported a KPI's windows; a repeat must say the same."""
    sums: dict[tuple[str, int], float] = {}
    for record in read(stage.broker.address, [stage.values_topic]):
        line = json.loads(record.value)
        if line["kind"] == "window" and line["kpi"] == kpi:
            key = ",".join(line["dimensions"].values()), start_of(line)
            assert sums.setdefault(key, line["value"]) == line["value"]
    return sums


async def commits(stage: Stage) -> dict[int, str]:
    """What the ingest's commits say, by partition. (The other client garbles it now and then.)"""
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.broker.address)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(f"{stage.prefix}agent-ingest")
    finally:
        await admin.close()
    return {place.partition: at.metadata for place, at in committed.items()}


def committed(stage: Stage) -> Iterator[tuple[int, int]]:
    """Of each partition, what the ingest's commit covers, and where the log ends."""
    ends = Counter(r.partition for r in read(stage.broker.address, stage.topics))
    published = asyncio.run(commits(stage))
    assert published.keys() == ends.keys()
    for partition, metadata in published.items():
        yield int(metadata.split(";")[1]), ends[partition]


def test_a_past_is_exact_though_the_agent_dies_at_it_and_no_offset_moves(stage: Stage) -> None:
    topic = f"{stage.prefix}orders"
    stage.topics = [topic]
    stage.create_topics()
    stage.rules.mkdir()
    shop = stage.rules / "shop.yaml"
    shop.write_text(RULES.format(topic=topic))
    orders = Orders(stage.broker.address, topic, (now_ms() - 3 * HOUR_MS) // WINDOW_MS * WINDOW_MS)
    orders.write(now_ms())
    agent = stage.agent("agent", flush_interval=0.2)
    agent.start()
    agent.wait_ready()
    until(lambda: len(windows(stage, "orders")) >= 1_078, 60, stage.words)

    shop.write_text(RULES.format(topic=topic) + ADDED)
    asked_ms = now_ms() - HOUR_MS
    reload = urllib.request.Request(f"{agent.url}/-/reload", method="POST")
    with urllib.request.urlopen(reload, timeout=60) as answer:
        assert b"amount is backfilled" in answer.read()

    def reading() -> bool:
        orders.write(now_ms())
        return "backfill of amount: reading topic" in agent.log.read_text()

    def has_past() -> bool:
        orders.write(now_ms())
        ratio = {n: v for n, _, v in agent.samples() if n == "kpi_agent_backfill_ratio"}
        return ratio == {"kpi_agent_backfill_ratio": 1.0}

    until(reading, 120, stage.words, every=0.05)
    agent.kill()
    agent.start()
    agent.wait_ready()
    until(has_past, 120, stage.words)
    had_ms = now_ms()
    end = now_ms() + 3 * WINDOW_MS  # as if time went on: what was open then closes
    orders.write(end)

    def last() -> int:
        return max((start for _, start in windows(stage, "amount")), default=0)

    until(lambda: last() >= (end - 2 * WINDOW_MS) // WINDOW_MS * WINDOW_MS, 60, stage.words)
    assert agent.terminate() == 0, agent.last_words()
    assert agent.log.read_text().count("backfill of amount is complete") >= 1

    published = windows(stage, "amount")
    begin = had_ms - HOUR_MS  # the reading that went through began before
    assert asked_ms - WINDOW_MS < min(start for _, start in published) <= begin
    newest = max(start for _, start in published)
    wanted = {key: total for key, total in orders.sums.items() if begin <= key[1] <= newest}
    assert wanted.items() <= published.items()
    assert published.items() <= orders.sums.items()
    assert read(stage.broker.address, [f"{stage.prefix}agent-late"]) == []
    assert set(windows(stage, "orders").values()) == {WINDOW_MS / STEP_MS}
    assert all(covered == end_ for covered, end_ in committed(stage))
    steps = [json.loads(r.value) for r in read(stage.broker.address, [stage.alerts_topic])]
    assert steps and min(start_of(step) for step in steps) >= asked_ms + HOUR_MS - 2 * WINDOW_MS
