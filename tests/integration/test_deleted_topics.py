"""The agent's own topics deleted while it runs, and its end with the broker gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from .agents import Agent
from .feeds import published
from .shops import Shops, delete_topics, use_sales
from .stage import Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]

PROMISED_SECONDS = 25
START_AND_EXIT_SECONDS = 5


@contextmanager
def selling(stage: Stage, topic: str) -> Iterator[Shops]:
    """Sales go on until the block ends."""
    shops, over = Shops(stage, topic), threading.Event()

    def sell() -> None:
        while not over.is_set():
            shops.sell(0)
            shops.sell(1)
            time.sleep(0.05)

    thread = threading.Thread(target=sell)
    thread.start()
    try:
        yield shops
    finally:
        over.set()
        thread.join(60)


def begin(stage: Stage) -> tuple[Agent, str]:
    topic = use_sales(stage)
    agent = stage.agent("one")
    agent.start()
    agent.wait_ready()
    return agent, topic


def topics_of(stage: Stage) -> set[str]:
    admin = AdminClient({"bootstrap.servers": stage.broker.address})
    return set(admin.list_topics(timeout=10).topics)


def newest_window(stage: Stage) -> str:
    """When the newest window on the values topic ends; "": none, or the topic has no leader now."""
    try:
        lines = list(published(stage.broker.address, stage.values_topic).values())
    except (KafkaException, AssertionError):
        return ""
    return max((line["end"] for line in lines if line["kind"] == "window"), default="")


def test_topics_that_hold_no_state_are_made_again_and_results_come(stage: Stage) -> None:
    agent, topic = begin(stage)
    with selling(stage, topic):
        until(lambda: newest_window(stage), 60, lambda: f"a window\n{stage.words()}")
        outputs = [stage.values_topic, stage.alerts_topic] + [
            f"{stage.prefix}agent-{name}" for name in ("board", "dead-letters", "late")
        ]
        delete_topics(stage, *outputs)
        until(lambda: not topics_of(stage) & set(outputs), 30, "the topics are gone", every=0.1)
        until(lambda: topics_of(stage) >= set(outputs), 60, lambda: f"made again: {stage.words()}")
        began = newest_window(stage)
        until(
            lambda: newest_window(stage) > began,
            90,
            lambda: f"windows are published again: {agent.ready()}\n{stage.words()}",
            every=1,
        )
        agent.wait_ready()
        assert "was deleted" in agent.last_words() or "created again" in agent.log.read_text()
    assert agent.terminate(PROMISED_SECONDS + START_AND_EXIT_SECONDS) == 0


@pytest.mark.parametrize("name", ["frames", "series"])
def test_without_frames_or_state_the_agent_says_so_and_says_nothing(
    stage: Stage, name: str
) -> None:
    agent, topic = begin(stage)
    with selling(stage, topic):
        until(lambda: newest_window(stage), 60, lambda: f"a window\n{stage.words()}")
        lost = f"{stage.prefix}agent-{name}"
        delete_topics(stage, lost)
        said = agent.wait_says(lost, 60)
        assert "Stop all agents, delete both topics" in said
        told_then = newest_window(stage)
        time.sleep(6)
        assert newest_window(stage) == told_then
        assert lost not in topics_of(stage)
    assert agent.terminate(PROMISED_SECONDS + START_AND_EXIT_SECONDS) in (0, 1)
    agent.start()  # it begins no second life beside what is left
    assert lost in agent.wait_says(lost, 60)


def test_an_agent_whose_broker_is_gone_under_load_ends_in_time(own_stage: Stage) -> None:
    own_stage.broker.start()
    agent, topic = begin(own_stage)
    shops = Shops(own_stage, topic)
    shops.sell_for(3, 0, 1)
    until(lambda: newest_window(own_stage), 60, lambda: f"a window\n{own_stage.words()}")
    shops.sell_for(1, 0, 1)
    own_stage.broker.kill()
    time.sleep(3)
    agent.terminate(PROMISED_SECONDS + START_AND_EXIT_SECONDS)
