"""A person is erased by the steps of docs/questions.md: the agent forgets who has no events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from agent.core.output.privacy import Privacy
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from tests.kafka.support import Agent

pytestmark = pytest.mark.timeout(300)

SECRET = "a secret of sixteen characters or more"
START_MS = 1_700_000_000_000
RULES = """
version: 1
defaults: {lateness: 1s, idle_after: 1h, max_future: 3650d}
events:
  task: {topic: tasks, type_field: none, time: at, fields: {employee: string}}
kpis:
  own_tasks:
    owner: lead
    from: task
    value: count(*)
    by: [employee]
    window: 5s
    visibility: private
    person: employee
"""
STATE = ("kpi-agent-series", "kpi-agent-board")


@pytest.fixture
def address() -> Iterator[str]:
    with EmbeddedBroker() as broker:
        yield broker.address


def write(address: str, seconds: range, *people: str) -> None:
    """One task of each person a second, in every partition."""
    producer = Producer({"bootstrap.servers": address})
    for second in seconds:
        for partition in range(PARTITIONS):
            for name in people:
                event = {"at": START_MS + second * 1000, "employee": name}
                producer.produce("tasks", json.dumps(event).encode(), partition=partition)
    producer.flush()


def names_held(address: str, name: bytes) -> set[str]:
    """The topics of the agent's state with a row whose last value is there and names a person."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "names"})
    places = [TopicPartition(topic, p, 0) for topic in STATE for p in range(PARTITIONS)]
    consumer.assign(places)
    ends = {(p.topic, p.partition): consumer.get_watermark_offsets(p)[1] for p in places}
    rows: dict[tuple[str, bytes], bytes | None] = {}
    waiting = {place for place, end in ends.items() if end}
    while waiting:
        message = consumer.poll(1)
        if message is None or message.error():
            continue
        place = str(message.topic()), message.partition() or 0
        rows[place[0], message.key() or b""] = message.value()
        if (message.offset() or 0) + 1 >= ends[place]:
            waiting.discard(place)
    consumer.close()
    return {topic for (topic, key), row in rows.items() if row and (name in key or name in row)}


def until_held(address: str, name: bytes, topics: set[str]) -> None:
    deadline = time.monotonic() + 120
    while names_held(address, name) != topics:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def until_answers(agent: Agent, path: str, status: int) -> None:
    deadline = time.monotonic() + 120
    while agent.get(path)[0] != status:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_shorter_expire_after_erases_a_person_without_events_from_all_state(
    address: str, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "work.yaml").write_text(RULES)
    write(address, range(30), "anna", "zaphod")
    agent = Agent(address, rules, person_secret=SECRET, data_dir=tmp_path / "data")
    until_answers(agent, "/-/ready", 200)
    privacy = Privacy(SECRET)
    anna = privacy.person_tokens("employee", "anna")[0]
    page = f"/private/{privacy.person_tokens('employee', 'zaphod')[0]}"
    try:
        until_held(address, b"zaphod", set(STATE))
        until_answers(agent, page, 200)
        (rules / "work.yaml").write_text(RULES + "    expire_after: 60s\n")
        assert agent.get("/-/reload", "POST")[0] == 200
        write(address, range(30, 120), "anna")
        until_held(address, b"zaphod", set())
        assert names_held(address, b"anna") == set(STATE)
        assert privacy.pseudonym("employee", "zaphod") not in agent.get("/metrics")[1]
        assert agent.stop() == 0
        agent = Agent(address, rules, person_secret=SECRET, data_dir=tmp_path / "data")
        write(address, range(120, 140), "anna")
        until_answers(agent, "/-/ready", 200)
        until_answers(agent, f"/private/{anna}", 200)
        until_answers(agent, page, 404)
        assert names_held(address, b"zaphod") == set()
    finally:
        agent.kill()
