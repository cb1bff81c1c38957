"""A broker that comes late, goes, and comes back."""

from __future__ import annotations

import pytest

from .stage import Stage

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]


def test_an_agent_that_came_first_waits_for_broker_and_topics_and_says_so(own_stage: Stage) -> None:
    stage = own_stage
    stage.use_company()
    agent = stage.agent("agent")
    agent.start()
    said = agent.wait_says("no broker answers")
    assert stage.broker.address in said
    assert agent.get("/-/healthy")[0] == 200

    stage.broker.start()
    said = agent.wait_says("source topics do not exist yet")
    assert all(topic in said for topic in stage.topics)

    stage.create_topics()
    agent.wait_ready()
    (everything,) = stage.company_parts(1)
    stage.send(everything)
    stage.send_closing()
    counted = stage.wait_counted()
    expected = stage.evaluated()
    assert counted == expected.outcomes
    stage.wait_published(expected)
    stage.check_exact(expected)


def test_a_broker_that_goes_and_comes_back_changes_no_figure(own_stage: Stage) -> None:
    stage = own_stage
    stage.use_company()
    stage.broker.start()
    stage.create_topics()
    agent = stage.agent("agent")
    agent.start()
    agent.wait_ready()
    first, second, third = stage.company_parts(3)
    stage.send(first)
    stage.wait_counted()

    stage.broker.terminate()
    agent.wait_says("broker")
    stage.broker.start()
    agent.wait_ready()
    stage.send(second)
    stage.broker.kill()  # at once: nothing of this part is safely read, folded or committed
    stage.broker.start()
    agent.wait_ready()
    stage.send(third)
    stage.send_closing()

    expected = stage.evaluated()
    stage.wait_published(expected)
    stage.check_exact(expected)
    assert agent.terminate() == 0, agent.last_words()
