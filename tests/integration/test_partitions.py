"""Partitions that are added: to source topics at any time, to the agent's own topics never."""

from __future__ import annotations

import json
import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from .agents import Agent
from .feeds import told
from .stage import Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(300)]

RULES = """\
version: 1
defaults: {lateness: 1s}
events:
  sale:
    topic: TOPIC
    time: at
    fields: {shop: string, amount: float}
kpis:
  sales: {from: sale, value: sum(amount), by: [shop], window: 2s}
"""


def _use_sales(stage: Stage) -> str:
    """Rules over one source topic; its name."""
    topic = f"{stage.prefix}sales"
    stage.rules.mkdir(parents=True)
    (stage.rules / "sales.yaml").write_text(RULES.replace("TOPIC", topic))
    stage.broker.create_topics([topic], 2)
    return topic


def _grow(stage: Stage, partitions: int, *topics: str) -> None:
    admin = AdminClient({"bootstrap.servers": stage.broker.address})
    made = admin.create_partitions([NewPartitions(topic, partitions) for topic in topics])
    for future in made.values():
        future.result(30)


def _delete(stage: Stage, *topics: str) -> None:
    admin = AdminClient({"bootstrap.servers": stage.broker.address})
    for future in admin.delete_topics(list(topics)).values():
        future.result(30)


def _sum_of_closed(stage: Stage) -> float:
    """The sales of all windows that are told."""
    lines = told(stage.broker.address, stage.values_topic).values()
    return sum(line["value"] or 0.0 for line in lines if line["kind"] == "window")


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


def test_a_partition_added_to_a_source_topic_is_read_from_its_first_event(stage: Stage) -> None:
    topic = _use_sales(stage)
    agents = [stage.agent(name) for name in ("one", "two")]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.wait_ready()
    shops = Shops(stage, topic)
    shops.sell_for(3, 0, 1)

    _grow(stage, 3, topic)
    shops.look_again()
    shops.sell_for(6, 0, 1, 2)
    expected = shops.sent
    for partition in range(3):  # closes all windows before it, and is in none of them
        shops.sell(partition, ahead_ms=10_000)

    def all_told() -> bool:
        return _sum_of_closed(stage) >= expected

    until(all_told, 45, lambda: f"{_sum_of_closed(stage)} of {expected}\n{stage.words()}", every=1)
    assert _sum_of_closed(stage) == expected
    assert _late(agents) == 0


def _late(agents: list[Agent]) -> float:
    names = {"kpi_agent_late_partials_total"}
    return sum(v for agent in agents for n, _, v in agent.samples() if n in names) + sum(
        agent.outcomes()["late"] for agent in agents
    )


def test_another_number_of_state_partitions_is_refused_until_both_topics_are_made_anew(
    stage: Stage,
) -> None:
    topic = _use_sales(stage)
    frames, series = f"{stage.prefix}agent-frames", f"{stage.prefix}agent-series"
    agent = stage.agent("agent", state_partitions=4)
    agent.start()
    agent.wait_ready()
    shops = Shops(stage, topic)
    shops.sell_for(1, 0, 1)
    stage.sent = shops.sent
    stage.wait_counted()
    assert agent.terminate() == 0, agent.last_words()

    # The setting says another number than the topics have.
    other = stage.agent("other", state_partitions=6)
    other.start()
    said = other.wait_says("the setting state_partitions says 6")
    assert f"topics {frames} and {series} have 4 partitions" in said
    assert "Set state_partitions: 4." in said
    assert other.terminate() == 0, other.last_words()

    # Somebody adds partitions to one of them between two runs, and then to the other.
    _grow(stage, 6, frames)
    agent = stage.agent("again", state_partitions=6)
    agent.start()
    said = agent.wait_says(f"topic {frames} has 6 partitions and {series} has 4")
    assert f"--delete --topic '{frames}|{series}'" in said
    _grow(stage, 6, series)
    said = agent.wait_says("frames were sent to 4 of them only: partitions were added")
    assert f"--delete --topic '{frames}|{series}'" in said
    assert "partitions were added" in agent.log.read_text()

    # What the message says mends it, and figures are right from then on.
    _delete(stage, frames, series)
    agent.wait_ready()
    before = _sum_of_closed(stage)
    shops.sell_for(3, 0, 1)

    # To both while it runs: what it told is right, and it goes no further.
    _grow(stage, 8, frames, series)
    agent.wait_says("frames were sent to 6 of them only: partitions were added")
    assert before <= _sum_of_closed(stage) <= shops.sent
