"""The running agent reads what a record has beside its value, and the lines in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from tests.kafka.support import Agent, Published

START_MS = 1_700_000_000_000
ORDERS = 400
RULES = """
version: 1
defaults: {lateness: 1s, max_future: 3650d}
events:
  paid:
    topic: orders
    type_field: {header: event}
    time: record
    id: {key: true}
    each: lines
    fields:
      price: {path: "lines[].price", type: float, required: true}
      region: {path: {header: region}, type: string}
kpis:
  revenue: {from: paid, value: sum(price), by: [region], window: 5s}
"""


@pytest.mark.timeout(300)
def test_headers_key_timestamp_and_lines_are_read_from_the_topic(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    with EmbeddedBroker() as broker:
        producer = Producer({"bootstrap.servers": broker.address})
        for number in range(ORDERS):  # ten a second, each sent twice, every fifth of another type
            lines = [{"price": 1.0}, {"price": 2.0}]
            headers = [("event", b"sent" if number % 5 == 4 else b"paid")]
            headers.append(("region", b"emea"))
            for _ in range(2):
                producer.produce(
                    "orders",
                    json.dumps({"lines": lines}),
                    f"o{number}",
                    partition=number % PARTITIONS,
                    timestamp=START_MS + number * 100,
                    headers=headers,
                )
        bad = json.dumps({"lines": [{"price": 1.0}, {"price": "x"}]})
        producer.produce(
            "orders", bad, "bad", partition=0, timestamp=START_MS, headers=[("event", b"paid")]
        )
        producer.flush()
        published, agent = Published(broker.address), Agent(broker.address, rules, web_reload=False)
        try:
            published.until(lambda: len(published.windows("revenue")) >= ORDERS // 50 - 1)
            published.until(lambda: bool(published.on("kpi-agent-dead-letters")))
            assert set(published.windows("revenue").values()) == {40 * 3.0}
            (dead,) = published.on("kpi-agent-dead-letters")
            letter = {name: bytes(value) for name, value in dead.headers() or ()}  # type: ignore[arg-type, misc]
            assert (dead.key(), letter["event"]) == (b"bad", b"paid")
            assert letter["kpi-agent-detail"] == (
                b'lines[].price: expected a number, found the string "x"'
            )
        finally:
            agent.kill()
            published.close()
