"""Agents that are killed in the middle of their work: nothing is lost, nothing counts twice."""

from __future__ import annotations

import time

import pytest

from .stage import Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]


@pytest.mark.parametrize("state", ["on disk", "in memory"])
def test_an_agent_killed_again_and_again_says_the_same_once(stage: Stage, state: str) -> None:
    stage.use_company()
    stage.create_topics()
    agent = stage.agent("agent", flush_interval=0.2)
    if state == "in memory":
        agent.forget("data_dir")
    parts = stage.company_parts(4)
    for number, events in enumerate(parts):
        agent.start()
        agent.wait_ready()
        stage.send(events)
        if number:
            # Some of this part is read, some windows are published: then all at once is over.
            until(lambda: agent.outcomes().total() > 0, 60, stage.words)
            time.sleep(0.5 * number)
        agent.kill()
    stage.send_closing()
    agent.start()
    agent.wait_ready()
    expected = stage.evaluated()
    stage.wait_published(expected)
    stage.check_exact(expected)
    assert agent.terminate() == 0, agent.last_words()


def test_a_killed_agents_share_is_taken_over(stage: Stage) -> None:
    stage.use_company()
    stage.create_topics()
    killed, survivor = stage.agent("one"), stage.agent("two")
    killed.start()
    survivor.start()
    killed.wait_ready()
    survivor.wait_ready()
    first, second, third = stage.company_parts(3)
    stage.send(first)
    stage.wait_counted()
    stage.send(second)
    killed.kill()
    stage.send(third)
    stage.send_closing()
    expected = stage.evaluated()
    stage.wait_published(expected)
    stage.check_exact(expected)
