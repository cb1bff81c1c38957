"""Topics that take less than the agent sends are refused, by name and setting, until changed."""

from __future__ import annotations

import pytest

from .shops import Shops, allow, sum_of_closed, use_sales
from .stage import Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(240)]


def test_a_topic_of_small_messages_is_refused_until_it_takes_what_is_sent(stage: Stage) -> None:
    topic = use_sales(stage, max_bytes=2_000_000)
    allow(stage, topic, 2_000_000)
    frames = f"{stage.prefix}agent-frames"
    first = stage.agent("agent")
    first.start()
    first.wait_ready()
    assert (
        f"topic {topic} takes records of 2000000 bytes, and topic {stage.prefix}agent-dead-letters "
        "of 1048588: larger ones are cut there. Raise max.message.bytes of topic "
        f"{stage.prefix}agent-dead-letters"
    ) in first.log.read_text()
    first.terminate()

    allow(stage, frames, 100_000)
    agent = stage.agent("agent")
    agent.start()
    agent.wait_says(f"{frames} (max.message.bytes=100000)")
    allow(stage, frames, 262_144)
    agent.wait_ready()
    shops = Shops(stage, topic)
    shops.sell_for(1, 0, 1)
    expected = shops.sent
    for partition in range(2):
        shops.sell(partition, ahead_ms=10_000)
    until(lambda: sum_of_closed(stage) >= expected, 60, stage.words, every=1)
