"""Records that are gone before they are read, moved offsets, topics that are created again.

What was read counts, once; what was not is published: in the log, as a metric, and by the windows.
"""

from __future__ import annotations

import signal
import time

import pytest
from confluent_kafka import Consumer, TopicPartition

from .agents import Agent
from .feeds import published
from .shops import (
    Shops,
    close_all,
    delete_records,
    delete_topics,
    move_offset,
    use_sales,
)
from .stage import Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(300)]


def _start(stage: Stage, *names: str) -> list[Agent]:
    agents = [stage.agent(name, session_timeout=6) for name in names]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.wait_ready()
    return agents


def _missed(agents: list[Agent]) -> float:
    name = "kpi_agent_records_missed_total"
    return sum(v for agent in agents if agent.running for n, _, v in agent.samples() if n == name)


def _counted(stage: Stage, count: int) -> None:
    until(
        lambda: stage.counted().total() >= count,
        60,
        lambda: f"{stage.counted()} of {count}\n{stage.words()}",
    )


def _committed(stage: Stage) -> None:
    """A flush and its commit."""
    time.sleep(3)


def test_records_that_retention_deleted_while_the_agent_was_down_are_reported(stage: Stage) -> None:
    topic = use_sales(stage)
    (agent,) = _start(stage, "agent")
    shops = Shops(stage, topic)
    shops.sell_for(2, 0, 1)
    _counted(stage, shops.sent)
    _committed(stage)
    agent.kill()
    read = shops.sent

    for _ in range(30):
        shops.sell(0)
    delete_records(stage, topic, 0, read // 2 + 20)
    agent.start()
    agent.wait_ready()
    _counted(stage, 10)
    said = agent.log.read_text()
    assert (
        f"topic {topic} partition 0: offsets {read // 2} to {read // 2 + 19} were not read" in said
    )
    assert "at most 20 records" in said
    assert _missed([agent]) == 20
    assert close_all(stage, shops, read + 10) == read + 10
    assert _marked(stage)


def test_frames_that_retention_deleted_before_they_were_merged_are_reported(stage: Stage) -> None:
    topic = use_sales(stage)
    (agent,) = _start(stage, "agent")
    shops = Shops(stage, topic)
    frames = f"{stage.prefix}agent-frames"
    for _ in range(12):
        shops.sell_for(5, 0, 1)
        if _acknowledged(stage, frames):
            break
    agent.kill()  # what was merged and is not acknowledged is read again
    for partition, end in _ends(stage, frames).items():
        delete_records(stage, frames, partition, end)
    agent.start()
    agent.wait_ready()
    said = agent.log.read_text()
    assert f"topic {frames} partition" in said and "deleted before they were merged" in said
    assert _missed([agent]) > 0
    shops.sell_for(1, 0, 1)
    for partition in range(2):
        shops.sell(partition, ahead_ms=10_000)
    until(lambda: _marked(stage), 120, stage.words, every=1)


def _acknowledged(stage: Stage, frames: str) -> bool:
    """Whether the group of the merge has committed an offset of each partition."""
    group = f"{stage.prefix}agent-merge"
    consumer = Consumer({"bootstrap.servers": stage.broker.address, "group.id": group})
    try:
        partitions = consumer.list_topics(frames, timeout=30).topics[frames].partitions
        committed = consumer.committed([TopicPartition(frames, p) for p in partitions], timeout=30)
        return all(each.offset > 0 for each in committed)
    finally:
        consumer.close()


def _ends(stage: Stage, topic: str) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": stage.broker.address, "group.id": "tests-ends"})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        asked = {p: consumer.get_watermark_offsets(TopicPartition(topic, p)) for p in partitions}
        return {p: int(watermarks[1]) for p, watermarks in asked.items() if watermarks is not None}
    finally:
        consumer.close()


def _marked(stage: Stage) -> bool:
    """Whether a window is published that may lack records."""
    lines = published(stage.broker.address, stage.values_topic).values()
    return any(line["kind"] == "window" and line.get("incomplete") for line in lines)


def test_records_that_retention_deletes_before_a_slow_reader_are_reported(stage: Stage) -> None:
    topic = use_sales(stage)
    (agent,) = _start(stage, "agent")
    shops = Shops(stage, topic)
    shops.sell_for(2, 0, 1)
    _counted(stage, shops.sent)
    _committed(stage)
    read = shops.sent
    agent.signal(signal.SIGSTOP)
    for _ in range(30):
        shops.sell(0)
    delete_records(stage, topic, 0, read // 2 + 20)
    agent.signal(signal.SIGCONT)
    until(lambda: _missed([agent]) > 0, 120, stage.words)
    assert 0 < _missed([agent]) <= 20
    agent.wait_ready()
    # A fetch that was answered before the sleep may have brought some of them.
    assert close_all(stage, shops, read + 30 - _missed([agent])) == read + 30 - _missed([agent])


def test_offsets_that_were_moved_forward_are_reported_and_back_are_not_followed(
    stage: Stage,
) -> None:
    topic = use_sales(stage)
    (agent,) = _start(stage, "agent")
    shops = Shops(stage, topic)
    shops.sell_for(2, 0, 1)
    _counted(stage, shops.sent)
    read = shops.sent
    assert agent.terminate() == 0, agent.last_words()

    for _ in range(30):
        shops.sell(0)
    move_offset(stage, topic, 0, read // 2 + 20)
    move_offset(stage, topic, 1, 0)
    agent.start()
    agent.wait_ready()
    _counted(stage, 10)
    said = agent.log.read_text()
    assert "somebody moved the group's offset forward" in said
    assert f"topic {topic} partition 1: the group's offset was moved from outside" in said
    assert _missed([agent]) == 20
    assert close_all(stage, shops, read + 10) == read + 10


@pytest.mark.parametrize("more", [5, 300], ids=["shorter", "longer"])
def test_a_topic_that_is_created_again_is_read_by_running_workers(stage: Stage, more: int) -> None:
    topic = use_sales(stage)
    agents = _start(stage, "one", "two")
    shops = Shops(stage, topic)
    shops.sell_for(2, 0, 1)
    _counted(stage, shops.sent)
    _committed(stage)
    read = shops.sent

    delete_topics(stage, topic)
    time.sleep(1)
    stage.broker.create_topics([topic], 2)
    shops.look_again()
    for _ in range(more):
        for partition in range(2):
            shops.sell(partition)
    assert close_all(stage, shops, read + 2 * more) == read + 2 * more
    said = "".join(agent.log.read_text() for agent in agents)
    assert f"topic {topic} partition 0: the topic was deleted and created again" in said
    assert _missed(agents) == 0
    assert _marked(stage)  # what was not read of the old log may be missing


def test_a_topic_that_is_created_again_while_no_worker_runs_is_read_from_its_start(
    stage: Stage,
) -> None:
    topic = use_sales(stage)
    (agent,) = _start(stage, "agent")
    shops = Shops(stage, topic)
    shops.sell_for(2, 0, 1)
    _counted(stage, shops.sent)
    assert agent.terminate() == 0, agent.last_words()
    read = shops.sent

    delete_topics(stage, topic)
    time.sleep(1)
    stage.broker.create_topics([topic], 2)
    shops.look_again()
    for _ in range(read):
        shops.sell(0)
    agent.start()
    agent.wait_ready()
    assert close_all(stage, shops, 2 * read) == 2 * read
    assert "the topic was deleted and created again" in agent.log.read_text()
