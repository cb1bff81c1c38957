"""Bad and late records of any size that a source topic takes: none of them stops the flow."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest
from confluent_kafka import Producer

from .feeds import read
from .shops import Shops, allow, close_all, use_sales
from .stage import Stage

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(240)]

MB = 1024 * 1024


def test_records_near_and_beyond_the_limits_are_set_aside_and_the_flow_goes_on(
    stage: Stage,
) -> None:
    topic = use_sales(stage, max_bytes=5 * MB)
    allow(stage, topic, 5 * MB)
    agent = stage.agent("agent")
    agent.start()
    agent.wait_ready()
    shops = Shops(stage, topic)
    shops.sell_for(1, 0, 1)
    producer = Producer({"bootstrap.servers": stage.broker.address, "message.max.bytes": 5 * MB})
    noise = os.urandom(2 * MB)  # which no compression makes fit
    long_ago = time.time_ns() // 1_000_000 - 3_600_000
    late = {"type": "sale", "at": long_ago, "shop": "s", "amount": 1.0, "note": noise.hex()}
    poison = [b"{" + noise[:1_048_479], noise, json.dumps(late).encode(), b"{" * 1_048_480]
    for value in poison:
        producer.produce(topic, value, partition=0, headers=[("trace", b"1")])
    assert producer.flush(60) == 0
    shops.sell_for(1, 0, 1)
    expected = shops.sent
    assert close_all(stage, shops, expected) == expected

    dead = read(stage.broker.address, [f"{stage.prefix}agent-dead-letters"])
    (late_one,) = read(stage.broker.address, [f"{stage.prefix}agent-late"])
    assert len(dead) == 3
    by_value = {hashlib.sha256(value).hexdigest(): value for value in poison}
    cut = [record for record in (*dead, late_one) if "kpi-agent-original-length" in record.headers]
    for record in cut:
        whole = by_value[record.headers["kpi-agent-original-sha256"]]
        assert int(record.headers["kpi-agent-original-length"]) == len(whole)
        assert record.value == whole[: len(record.value)] and len(record.value) > 500_000
        assert record.headers["trace"] == "1"
        assert record.headers["kpi-agent-topic"] == topic
    assert len(cut) == 3  # many equal brackets compress
    counted = {
        labels["topic"]: value
        for name, labels, value in agent.samples()
        if name == "kpi_agent_records_truncated_total"
    }
    assert counted == {
        f"{stage.prefix}agent-dead-letters": 2,
        f"{stage.prefix}agent-late": 1,
    }
    assert agent.ready()[0] == 200
    assert "trying again in" not in agent.log.read_text()
