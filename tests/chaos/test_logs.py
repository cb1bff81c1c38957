"""Logs that change under the agent: retention, new topics, poison, clocks, two rule sets.

Every sale is one euro, so the sum of all closed windows is the number of sales that count. The
short versions are tests/integration/test_gaps.py and test_side_outputs.py.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterable

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from agent.core.fold.checkpoint import Resume
from tests.integration.agents import Agent
from tests.integration.feeds import read
from tests.integration.shops import (
    Shops,
    close_all,
    delete_records,
    delete_topics,
    use_sales,
)
from tests.integration.stage import Stage
from tests.integration.waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(900)]

ROUNDS = 4
YEAR_MS = 365 * 86_400_000
LOST = re.compile(r"partition (\d+): offsets (\d+) to (\d+) were not read")


def workers(stage: Stage, count: int) -> list[Agent]:
    agents = [stage.agent(f"worker-{n}", session_timeout=6) for n in range(count)]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.wait_ready()
    return agents


def lost(agents: Iterable[Agent]) -> int:
    """How many records the workers say that they have missed, each counted once."""
    missing = {
        (int(partition), offset)
        for agent in agents
        for partition, first, last in LOST.findall(agent.log.read_text())
        for offset in range(int(first), int(last) + 1)
    }
    return len(missing)


def covered(stage: Stage, topic: str, partition: int) -> int:
    """Up to which offset a source partition is read and committed."""
    admin = AdminClient({"bootstrap.servers": stage.broker.address})
    asked = ConsumerGroupTopicPartitions(
        f"{stage.prefix}agent-ingest", [TopicPartition(topic, partition)]
    )
    (future,) = admin.list_consumer_group_offsets([asked]).values()
    (committed,) = future.result(30).topic_partitions
    return (
        Resume.parse(committed.offset, committed.metadata or "").covered
        if committed.offset >= 0
        else 0
    )


@pytest.mark.full
def test_retention_strikes_again_and_again(stage: Stage, seed: int) -> None:
    rng = random.Random(seed)
    topic = use_sales(stage)
    agents = workers(stage, 2)
    shops = Shops(stage, topic)
    ends = [0, 0]

    def sell(partition: int, count: int) -> None:
        for _ in range(count):
            shops.sell(partition)
        ends[partition] += count

    for _ in range(ROUNDS):
        for partition in (0, 1):
            sell(partition, rng.randrange(20, 60))
        time.sleep(rng.uniform(0, 4))
        for agent in agents:
            agent.kill()
        partition = rng.choice([0, 1])
        sell(partition, 40)
        delete_records(stage, topic, partition, ends[partition] - rng.randrange(1, 40))
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.wait_ready()
    sold = sum(ends)
    time.sleep(3)
    missed = lost(agents)
    assert missed > 0, f"seed {seed}: {stage.words()}"
    # What was sent and not committed before a kill is said to be missed, and counts all the same.
    assert sold - missed <= close_all(stage, shops, sold - missed) <= sold, f"seed {seed}"


@pytest.mark.full
def test_topics_are_created_again_and_again(stage: Stage, seed: int) -> None:
    rng = random.Random(seed)
    topic = use_sales(stage)
    agents = workers(stage, 3)
    shops = Shops(stage, topic)
    for _ in range(ROUNDS):
        ends = {0: 0, 1: 0}
        for _ in range(rng.choice([5, 80])):
            partition = rng.choice([0, 1])
            shops.sell(partition)
            ends[partition] += 1
        # What is not read yet, or not committed, goes with the old log.
        until(
            lambda at=ends: {p: covered(stage, topic, p) for p in at} == at,
            90,
            stage.words,
            every=1,
        )
        victim = rng.choice(agents) if rng.random() < 0.5 else None
        if victim is not None:
            victim.kill()
        delete_topics(stage, topic)
        time.sleep(rng.uniform(0.5, 3))
        stage.broker.create_topics([topic], 2)
        shops.look_again()
        if victim is not None:
            victim.start()
    for _ in range(10):
        shops.sell(rng.choice([0, 1]))
    sold = shops.sent
    assert close_all(stage, shops, sold) == sold, f"seed {seed}"
    assert lost(agents) == 0


def poison(rng: random.Random) -> tuple[bytes, int]:
    """A record that must not count, and its timestamp (0: the producer's clock)."""
    now_ms = time.time_ns() // 1_000_000
    sale = {"type": "sale", "shop": "s", "amount": 1.0}
    wild_ms = now_ms + rng.choice([YEAR_MS, 20 * YEAR_MS])
    return rng.choice(
        [
            (b"\x1f\x8b\x08junk", 0),
            (b"\x28\xb5\x2f\xfd" + rng.randbytes(50), 0),
            (rng.randbytes(200_000), 0),
            (b"{" * 300_000, 0),
            (b"\xff\xfe", 0),
            (json.dumps(sale).encode(), 0),
            (json.dumps(sale | {"at": "9999-12-31T23:59:59Z"}).encode(), 0),
            (json.dumps(sale | {"at": wild_ms}).encode(), wild_ms),
            (json.dumps(sale | {"at": now_ms - 60 * YEAR_MS}).encode(), 0),
        ]
    )


@pytest.mark.full
def test_poison_and_wild_clocks_cost_themselves(stage: Stage, seed: int) -> None:
    rng = random.Random(seed)
    topic = use_sales(stage)
    agents = workers(stage, 2)
    shops = Shops(stage, topic)
    producer = Producer({"bootstrap.servers": stage.broker.address})
    bad = 0
    for _ in range(ROUNDS):
        for _ in range(40):
            shops.sell(rng.choice([0, 1]))
            if rng.random() < 0.5:
                value, at_ms = poison(rng)
                producer.produce(topic, value, partition=rng.choice([0, 1]), timestamp=at_ms)
                bad += 1
        assert producer.flush(30) == 0
        victim = rng.choice(agents)
        victim.kill()
        victim.start()
    sold = shops.sent
    assert close_all(stage, shops, sold) == sold, f"seed {seed}"
    dead = read(stage.broker.address, [f"{stage.prefix}agent-dead-letters"])
    places = {
        (record.headers["kpi-agent-partition"], record.headers["kpi-agent-offset"])
        for record in dead
    }
    assert len(places) == bad, f"seed {seed}"


def test_two_rule_sets_are_reported_and_what_both_declare_alike_is_right(stage: Stage) -> None:
    topic = use_sales(stage)
    (first,) = workers(stage, 1)
    more = stage.rules / "sales.yaml"
    more.write_text(more.read_text() + "  dearest: {from: sale, value: max(amount), window: 2s}\n")
    other = stage.agent("other", session_timeout=6)
    other.start()
    other.wait_ready()
    first.wait_ready()
    shops = Shops(stage, topic)
    shops.sell_for(15, 0, 1)
    sold = shops.sent
    assert close_all(stage, shops, sold) >= sold
    for agent in (first, other):
        until(lambda a=agent: "runs other rules" in a.log.read_text(), 40, stage.words)
    by_hash = {
        labels["config_hash"]: labels["group"]
        for agent in (first, other)
        for name, labels, _ in agent.samples()
        if name == "kpi_agent_build_info"
    }
    assert len(by_hash) == 2 and len(set(by_hash.values())) == 1
