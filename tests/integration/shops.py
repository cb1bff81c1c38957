"""Shops that sell for one euro, and operators who change topics and offsets under the agent."""

from __future__ import annotations

import json
import time

from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from .feeds import published
from .stage import Stage
from .waiting import until

RULES = """\
version: 1
defaults: {lateness: 1s, max_bytes: BYTES}
events:
  sale:
    topic: TOPIC
    time: at
    fields: {shop: string, amount: float}
kpis:
  sales: {from: sale, value: sum(amount), by: [shop], window: 2s}
"""


def use_sales(stage: Stage, max_bytes: int = 1_048_576) -> str:
    """Rules over one source topic; its name."""
    topic = f"{stage.prefix}sales"
    stage.rules.mkdir(parents=True)
    (stage.rules / "sales.yaml").write_text(
        RULES.replace("TOPIC", topic).replace("BYTES", str(max_bytes))
    )
    stage.broker.create_topics([topic], 2)
    return topic


def allow(stage: Stage, topic: str, size: int) -> None:
    """Set the largest message that a topic takes (bytes)."""
    admin = _admin(stage)
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    asked = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([asked]).values():
        future.result(30)


def delete_topics(stage: Stage, *topics: str) -> None:
    """Delete topics, as `kafka-topics.sh --delete` does."""
    admin = _admin(stage)  # kept: its futures end with it
    for future in admin.delete_topics(list(topics)).values():
        future.result(30)


def sum_of_closed(stage: Stage) -> float:
    """The sales of all windows that are published."""
    lines = published(stage.broker.address, stage.values_topic).values()
    return sum(line["value"] or 0.0 for line in lines if line["kind"] == "window")


def close_all(stage: Stage, shops: Shops, expected: float) -> float:
    """Close all windows; their sum, once it is as expected, and a while later."""
    for partition in range(2):
        shops.sell(partition, ahead_ms=10_000)
    until(
        lambda: sum_of_closed(stage) >= expected,
        60,
        lambda: f"{sum_of_closed(stage)} of {expected}\n{stage.words()}",
        every=1,
    )
    time.sleep(2)
    return sum_of_closed(stage)


def delete_records(stage: Stage, topic: str, partition: int, before: int) -> None:
    """Delete the records before an offset, as retention does."""
    asked = [TopicPartition(topic, partition, before)]
    admin = _admin(stage)
    for future in admin.delete_records(asked).values():
        future.result(30)


def move_offset(stage: Stage, topic: str, partition: int, offset: int) -> None:
    """Set a group's offset, as `kafka-consumer-groups.sh --reset-offsets` does."""
    asked = ConsumerGroupTopicPartitions(
        f"{stage.prefix}agent-ingest", [TopicPartition(topic, partition, offset)]
    )
    admin = _admin(stage)
    for future in admin.alter_consumer_group_offsets([asked]).values():
        future.result(30)


def _admin(stage: Stage) -> AdminClient:
    return AdminClient({"bootstrap.servers": stage.broker.address})


class Shops:
    """Sends sales of one euro that happen now."""

    def __init__(self, stage: Stage, topic: str) -> None:
        self.sent = 0
        self._topic = topic
        self._settings = {"bootstrap.servers": stage.broker.address, "linger.ms": 0}
        self._producer = Producer(self._settings)

    def look_again(self) -> None:
        """See the partitions that there are now."""
        self._producer = Producer(self._settings)

    def sell(self, partition: int, ahead_ms: int = 0) -> None:
        """One sale in one partition, acknowledged. `ahead_ms`: how far in the future it happens."""
        at = time.time_ns() // 1_000_000 + ahead_ms
        event = {"type": "sale", "at": at, "shop": f"s{self.sent % 7}", "amount": 1.0}
        self._producer.produce(self._topic, json.dumps(event).encode(), partition=partition)
        assert self._producer.flush(30) == 0
        self.sent += 1

    def sell_for(self, seconds: float, *partitions: int) -> None:
        """Sales in each of the partitions, every 50 ms."""
        until_at = time.monotonic() + seconds
        while time.monotonic() < until_at:
            for partition in partitions:
                self.sell(partition)
            time.sleep(0.05)
