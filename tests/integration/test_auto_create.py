"""A broker that creates whatever topic is asked for, as Kafka does by default."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from .broker import START_SECONDS, Broker
from .shops import use_sales
from .stage import Stage

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]

STATE_PARTITIONS = 8


def test_the_agents_topics_are_as_the_agent_creates_them(tmp_path: Path) -> None:
    broker = Broker(tmp_path, auto_create=True)
    stage = Stage(broker, "auto", tmp_path)
    try:
        broker.start()
        use_sales(stage)
        agent = stage.agent("one", state_partitions=STATE_PARTITIONS)
        agent.start()
        agent.wait_ready()
        admin = AdminClient({"bootstrap.servers": broker.address})
        topics = admin.list_topics(timeout=START_SECONDS).topics
        prefix = f"{stage.prefix}agent"
        for name in (f"{prefix}-frames", f"{prefix}-series", stage.values_topic):
            assert len(topics[name].partitions) == STATE_PARTITIONS, name
        series = ConfigResource(ResourceType.TOPIC, f"{prefix}-series")
        config = admin.describe_configs([series])[series].result(START_SECONDS)
        assert config["cleanup.policy"].value == "compact"
    finally:
        stage.clean_up()
        broker.clean_up()
