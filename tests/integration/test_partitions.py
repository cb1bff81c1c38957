"""Partitions that are added: to source topics at any time, to the agent's own topics never."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from .agents import Agent
from .shops import Shops, delete_topics, sum_of_closed, use_sales
from .stage import Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(300)]


def _grow(stage: Stage, partitions: int, *topics: str) -> None:
    admin = AdminClient({"bootstrap.servers": stage.broker.address})
    made = admin.create_partitions([NewPartitions(topic, partitions) for topic in topics])
    for future in made.values():
        future.result(30)


def test_a_partition_added_to_a_source_topic_is_read_from_its_first_event(stage: Stage) -> None:
    topic = use_sales(stage)
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
        return sum_of_closed(stage) >= expected

    until(all_told, 120, lambda: f"{sum_of_closed(stage)} of {expected}\n{stage.words()}", every=1)
    assert sum_of_closed(stage) == expected
    assert _late(agents) == 0


def _late(agents: list[Agent]) -> float:
    names = {"kpi_agent_late_partials_total"}
    return sum(v for agent in agents for n, _, v in agent.samples() if n in names) + sum(
        agent.outcomes()["late"] for agent in agents
    )


def test_another_number_of_state_partitions_is_refused_until_both_topics_are_made_again(
    stage: Stage,
) -> None:
    topic = use_sales(stage)
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
    delete_topics(stage, frames, series)
    agent.wait_ready()
    before = sum_of_closed(stage)
    shops.sell_for(3, 0, 1)

    # To both while it runs: what it published is right, and it goes no further.
    _grow(stage, 8, frames, series)
    agent.wait_says("frames were sent to 6 of them only: partitions were added")
    assert before <= sum_of_closed(stage) <= shops.sent
