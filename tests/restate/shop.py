"""A shop whose orders come late, twice and in a form that its first contract rejects."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer

from agent.core.model.plan import Plan
from agent.core.output.privacy import Privacy
from agent.kafka.embedded import PARTITIONS
from agent.kafka.history import history
from agent.kafka.publish import Publisher, acknowledged
from agent.kafka.topics import TopicNames
from agent.settings import Settings

START_MS = 1_741_000_000_000 // 3_600_000 * 3_600_000
MINUTE_MS = 60_000
KPIS: dict[str, dict[str, Any]] = {
    "revenue": {"value": "sum(amount)", "by": ["region"], "window": "5m"},
    "orders": {"value": "count(*)", "by": ["region"], "window": "5m"},
    "customers": {"value": "count(distinct customer)", "window": "10m every 5m"},
    "largest": {"value": "max(amount)", "where": "region <> 'x'", "window": "day"},
}
"""The base KPIs, as their YAML says them."""
BASKET = {"from": ["revenue", "orders"], "value": "revenue / orders"}


def rules(minimum: str = "") -> str:
    """The rules; `minimum` is a bound of the amount."""
    amount = f"{{type: float{minimum}}}"
    fields = f"{{amount: {amount}, region: string, customer: string}}"
    kpis = "".join(
        f"  {name}: {json.dumps({'from': 'order', **kpi})}\n" for name, kpi in KPIS.items()
    )
    return (
        "version: 1\n"
        "defaults: {lateness: 10s, idle_after: 1h}\n"
        "events:\n"
        f"  order: {{topic: orders, time: at, id: id, fields: {fields}}}\n"
        f"kpis:\n{kpis}"
        "  basket: {from: [revenue, orders], value: revenue / orders, by: [region], window: 5m,\n"
        "    target: {at_least: 40}}\n"
        "rules:\n"
        "  low: {kpi: revenue, when: value < 1000}\n"
    )


@dataclass(frozen=True)
class Sent:
    """A record of the topic."""

    partition: int
    at_ms: int
    event: dict[str, Any]


def traffic(seed: int, minutes: int = 180) -> list[Sent]:
    """Orders in the order of their records: some are half an hour late, some come again, at once or
    later, and some have a negative amount."""
    draw = random.Random(seed)
    sent = []
    for number in range(minutes * 10):
        at = START_MS + number * 6_000 + draw.randrange(6_000)
        event = {
            "type": "order", "at": at, "id": f"o{number}", "region": draw.choice(["a", "b", "x"]),
            "amount": round(draw.uniform(1, 100), 2) * (-1 if draw.random() < 0.02 else 1),
            "customer": f"c{draw.randrange(40)}",
        }  # fmt: skip
        partition = draw.randrange(PARTITIONS)
        late_ms = draw.randrange(30 * MINUTE_MS) if draw.random() < 0.05 else 0
        sent.append(Sent(partition, at + late_ms, event))
        if draw.random() < 0.04:
            again_ms = draw.choice([2_000, 40 * MINUTE_MS])
            sent.append(Sent(partition, at + late_ms + again_ms, event))
    return sorted(sent, key=lambda record: record.at_ms)


async def send(settings: Settings, records: list[Sent]) -> None:
    """Write records to the topic."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers)
    await producer.start()
    for record in records:
        value = json.dumps(record.event).encode()
        await producer.send("orders", value, partition=record.partition, timestamp_ms=record.at_ms)
    await producer.stop()


async def publish_live(
    settings: Settings, plan: Plan, until_ms: int, privacy: Privacy | None = None
) -> None:
    """Publish what a running agent would have: late events do not count."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers)
    await producer.start()
    try:
        publisher = Publisher(producer, TopicNames.of(settings), privacy)
        async for emitted in history(settings, plan, None, until_ms, lambda _name, _added: None):
            await acknowledged(await publisher.publish_emitted(plan, emitted))
    finally:
        await producer.stop()
