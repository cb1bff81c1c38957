"""Topics of which records are deleted while a command reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from agent.core.model.results import Emitted
from agent.errors import EnvironmentFault
from agent.kafka.history import history
from agent.language.load import load
from agent.replay.runner import Replayed
from agent.settings import load_settings

from .broker import Broker

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(120)]

TOPIC = "slow-orders"
RULES = f"""\
version: 1
events:
  order: {{topic: {TOPIC}, time: at, type_field: none, fields: {{amount: float}}}}
kpis:
  revenue: {{from: order, value: sum(amount), window: 1m}}
"""
START_MS = 1_700_000_040_000
RECORDS = 4_000
PADDING = "x" * 2_000  # more than a consumer fetches ahead


async def test_records_that_are_deleted_before_they_are_read_end_it(
    real_kafka: Broker, tmp_path: Path
) -> None:
    real_kafka.create_topics([TOPIC], 1)
    producer = Producer({"bootstrap.servers": real_kafka.address})
    for number in range(RECORDS):
        event = {"at": START_MS + number * 1_000, "amount": 1.0, "padding": PADDING}
        producer.produce(TOPIC, json.dumps(event), timestamp=START_MS + number * 1_000)
        producer.poll(0)
    producer.flush(60)
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    settings = load_settings(brokers=real_kafka.address)
    read = Replayed(Emitted(), [])
    reading = history(settings, load(path), None, START_MS + RECORDS * 1_000, read.note)
    assert (await anext(reading)).windows
    admin = AdminClient({"bootstrap.servers": real_kafka.address})
    for future in admin.delete_records([TopicPartition(TOPIC, 0, RECORDS - 1)]).values():
        future.result(30)
    with pytest.raises(EnvironmentFault, match=f"records of {TOPIC} were deleted before"):
        async for _ in reading:
            pass
