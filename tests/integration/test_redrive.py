"""Dead letters go back to their topics once each, whatever ends a run."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault
from agent.kafka import redrive as module
from agent.kafka.client import connection, new_producer
from agent.kafka.redrive import DeadLetter, redrive
from agent.kafka.side_outputs import SideOutputs
from agent.kafka.topics import TopicNames
from agent.language.load import load
from agent.settings import Settings, load_settings

from .broker import Broker

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(300)]

AT_MS = 1_700_000_000_000
RULES = """
version: 1
events:
  paid: {topic: TOPIC, time: at, fields: {amount: {type: float, required: true, maximum: 100}}}
kpis:
  revenue: {from: paid, value: sum(amount), window: 1h}
"""


class Shop:
    """A topic with its dead letters, on the shared broker."""

    def __init__(self, broker: Broker, name: str, folder: Path, topics: str = "TOPIC") -> None:
        self.topic = f"{name}-orders"
        rules = folder / "rules.yaml"
        rules.write_text(RULES.replace("TOPIC", topics).replace("TOPIC", self.topic))
        self.settings: Settings = load_settings(
            brokers=broker.address, group=name, topic_prefix=name, rules=rules
        )
        self.plan: Plan = load(rules)
        self.dead_letters = TopicNames.of(self.settings).dead_letters
        broker.create_topics([self.topic, self.dead_letters], 2)

    async def reject(self, amounts: Sequence[float], copies: int = 1) -> None:
        """Write dead letters, as the agent does: one for each amount, from offset 0 on."""
        producer = new_producer(self.settings, idempotent=False)
        await producer.start()
        outputs = SideOutputs(producer, TopicNames.of(self.settings), lambda _topic: None)
        for offset, amount in enumerate(amounts):
            value = json.dumps({"type": "paid", "at": AT_MS, "amount": amount}).encode()
            record = ConsumerRecord(
                topic=self.topic, partition=1, offset=offset, timestamp=AT_MS + offset,
                timestamp_type=0, key=b"k", value=value, checksum=None, serialized_key_size=1,
                serialized_value_size=len(value), headers=(("trace", b"7"),),
            )  # fmt: skip
            for _ in range(copies):
                letter = await outputs.dead_letter(record, "out_of_bounds", "too large", "paid")
                await outputs.settle([letter])
        await producer.stop()

    async def records(self) -> list[ConsumerRecord]:
        """What is in the source topic."""
        consumer = AIOKafkaConsumer(
            self.topic, **connection(self.settings), auto_offset_reset="earliest",
            isolation_level="read_committed",
        )  # fmt: skip
        await consumer.start()
        records: list[ConsumerRecord] = []
        while fetched := await consumer.getmany(timeout_ms=2_000):
            records += [record for some in fetched.values() for record in some]
        await consumer.stop()
        return records


@pytest.mark.parametrize("topics", ["TOPIC", "{pattern: 'TOPIC|.*-eu'}"], ids=["name", "pattern"])
async def test_good_letters_go_back_once_as_they_were(
    real_kafka: Broker, tmp_path: Path, topics: str
) -> None:
    shop = Shop(real_kafka, f"redrive-once-{len(topics)}", tmp_path, topics)
    await shop.reject([5, 500, 7], copies=2)
    dry = await redrive(shop.settings, shop.plan, [], dry_run=True)
    assert await shop.records() == []
    made = await redrive(shop.settings, shop.plan, [], dry_run=False)
    assert made == dry
    assert made == {
        (shop.topic, "redriven", ""): 2,
        (shop.topic, "rejected", "out_of_bounds"): 1,
    }
    again = await redrive(shop.settings, shop.plan, [shop.topic], dry_run=False)
    assert again == {
        (shop.topic, "before", ""): 2,
        (shop.topic, "rejected", "out_of_bounds"): 1,
    }
    first, second = await shop.records()
    assert [json.loads(record.value)["amount"] for record in (first, second)] == [5, 7]
    assert [(r.partition, r.key, r.timestamp) for r in (first, second)] == [
        (1, b"k", AT_MS), (1, b"k", AT_MS + 2)
    ]  # fmt: skip
    place = f"{shop.topic}/1/2".encode()
    assert second.headers == (("trace", b"7"), ("kpi-agent-redriven", place))


async def test_what_ends_a_run_leaves_no_letter_given_twice(
    real_kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(real_kafka, "redrive-crash", tmp_path)
    await shop.reject(range(10))
    marker, sent = module._marker, []

    def fail(letter: DeadLetter) -> object:
        sent.append(letter)
        if len(sent) == 5:
            raise OSError("the machine is gone")
        return marker(letter)

    monkeypatch.setattr(module, "_marker", fail)
    with pytest.raises(EnvironmentFault, match="the machine is gone"):
        await redrive(shop.settings, shop.plan, [], dry_run=False)
    assert await shop.records() == []
    monkeypatch.undo()
    assert await redrive(shop.settings, shop.plan, [], dry_run=False) == {
        (shop.topic, "redriven", ""): 10
    }
    assert sorted(json.loads(r.value)["amount"] for r in await shop.records()) == list(range(10))


async def test_of_two_runs_at_once_each_letter_is_given_by_one(
    real_kafka: Broker, tmp_path: Path
) -> None:
    shop = Shop(real_kafka, "redrive-twice", tmp_path)
    await shop.reject(range(10))
    runs = [redrive(shop.settings, shop.plan, [], dry_run=False) for _ in range(3)]
    ended = await asyncio.gather(*runs, return_exceptions=True)
    failed = [error for error in ended if isinstance(error, BaseException)]
    assert all(isinstance(error, EnvironmentFault) for error in failed), failed
    await redrive(shop.settings, shop.plan, [], dry_run=False)
    assert sorted(json.loads(r.value)["amount"] for r in await shop.records()) == list(range(10))


async def test_the_command_says_what_it_did(real_kafka: Broker, tmp_path: Path) -> None:
    shop = Shop(real_kafka, "redrive-command", tmp_path)
    await shop.reject([5, 500])
    command = [
        sys.executable, "-m", "agent", "redrive", "--brokers", real_kafka.address,
        "--rules", str(tmp_path / "rules.yaml"),
    ]  # fmt: skip
    names = {"KPI_AGENT_GROUP": "redrive-command", "KPI_AGENT_TOPIC_PREFIX": "redrive-command"}

    def run(*more: str) -> str:
        done = subprocess.run(
            [*command, *more], capture_output=True, text=True, env={**os.environ, **names},
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert await asyncio.to_thread(run, "--dry-run") == (
        f"{shop.topic}: 2 dead letters\n"
        "         1 would be given back\n"
        "         1 rejected still: out_of_bounds\n"
    )
    assert "1 given back\n" in await asyncio.to_thread(run)
    assert "1 given back before\n" in await asyncio.to_thread(run)
