"""A broker, agents as processes, and what they publish, for the tests on Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from agent.kafka.embedded import PARTITIONS

ROOT = Path(__file__).parents[2]
TOPICS = ("kpi-values", "kpi-alerts", "kpi-agent-dead-letters", "kpi-agent-late")

RULES = """
version: 1
defaults: {lateness: 1s, idle_after: 1h, max_future: 3650d}
events:
  order:
    topic: orders
    type_field: none
    time: at
    id: id
    fields:
      amount: {type: float, minimum: 0}
      region: {type: string}
kpis:
  revenue: {from: order, value: sum(amount), by: [region], window: 5s, target: {at_least: 20}}
  orders: {from: order, value: count(*), window: 10s every 5s}
rules:
  low: {kpi: revenue, when: value < 20}
"""


class Agent:
    """One agent process. `stop` ends it in good order, `kill` as a power cut would. Its log goes to
    `log`, or to that of the test."""

    def __init__(
        self, address: str, rules: Path, log: IO[bytes] | None = None, **settings: object
    ) -> None:
        values = {
            "brokers": address, "rules": rules, "create_topics": False, "session_timeout": 6,
            "web_host": "127.0.0.1", "web_port": 0, "web_reload": True,
            "flush_interval": 0.3, **settings,
        }  # fmt: skip
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        env |= {f"KPI_AGENT_{name.upper()}": str(value) for name, value in values.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kafka.run_agent"],
            env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and text of a page."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, line: str) -> float | None:
        """The value of one series of /metrics, by its name and labels as they are written."""
        for sample in self.get("/metrics")[1].splitlines():
            if sample.startswith(line + " "):
                return float(sample.rsplit(" ", 1)[1])
        return None

    def counters(self) -> set[str]:
        """The counters of the agent's own metrics that are there, with their labels."""
        lines = self.get("/metrics")[1].splitlines()
        series = {line.rsplit(" ", 1)[0] for line in lines if line.startswith("kpi_agent_")}
        return {name for name in series if name.split("{")[0].endswith("_total")}

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


class Published:
    """Everything on the agents' public topics, as it comes."""

    def __init__(self, address: str) -> None:
        self.by_key: dict[tuple[str, bytes], list[bytes]] = {}
        self.messages: list[Message] = []
        self._consumer = Consumer({"bootstrap.servers": address, "group.id": "test"})
        self._consumer.assign(
            [TopicPartition(topic, p, 0) for topic in TOPICS for p in range(PARTITIONS)]
        )

    def until(self, done: Callable[[], bool], seconds: float = 120) -> None:
        """Read until the condition holds; fails the test when it does not in time."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            message = self._consumer.poll(0.2)
            if message is None or message.error():
                continue
            self.messages.append(message)
            topic, key, value = message.topic(), message.key(), message.value()
            if topic is not None and key is not None and value is not None:
                self.by_key.setdefault((topic, key), []).append(value)

    def windows(self, kpi: str) -> dict[tuple[str, str], float | None]:
        """The closed windows of a KPI: (dimension values, start) to value."""
        return {
            (",".join(map(str, w["dimensions"].values())), w["start"]): w["value"]
            for w in self.values("window")
            if w["kpi"] == kpi
        }

    def values(self, kind: str) -> list[dict[str, Any]]:
        """The last message of every key, of one kind, parsed."""
        last = [json.loads(messages[-1]) for messages in self.by_key.values()]
        return [value for value in last if value.get("kind") == kind]

    def on(self, topic: str) -> list[Message]:
        """The messages of one topic."""
        return [message for message in self.messages if message.topic() == topic]

    def contradictions(self) -> list[tuple[str, bytes]]:
        """Keys that were published more than once, with different values."""
        return [
            key for key, messages in self.by_key.items() if len(set(map(_lasting, messages))) > 1
        ]

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()


def _lasting(message: bytes) -> bytes:
    """A message without when it was made: what a repeat must repeat."""
    return re.sub(rb',"processed":"[^"]*"', b"", message)


class Orders:
    """Writes orders: one every `step_ms` of event time, of 1.0, by turns over regions a and b."""

    START_MS = 1_700_000_000_000

    def __init__(self, address: str, step_ms: int = 100) -> None:
        self._producer = Producer({"bootstrap.servers": address})
        self._step_ms = step_ms

    def write(self, numbers: Iterable[int]) -> None:
        """Write orders by number."""
        for number in numbers:
            at = self.START_MS + number * self._step_ms
            order = {"id": number, "at": at, "amount": 1.0, "region": "ab"[number % 2]}
            self.raw(json.dumps(order).encode(), number % PARTITIONS)
        self._producer.flush()

    def raw(self, value: bytes | None, partition: int) -> None:
        """Write anything."""
        self._producer.produce("orders", value, partition=partition)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker has it."""
        self._producer.flush()


async def until(look: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is true; nothing says when it becomes so."""
    async with asyncio.timeout(seconds):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
