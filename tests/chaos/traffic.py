"""Events that can be checked: seeded, live, with disorder, repeats, rubbish and late ones.

What is late does not depend on who reads when: a late event follows, in its own partition, one
that is a minute younger. What came out right is computed later, from what is in the topics.
"""

from __future__ import annotations

import json
import random
import threading
import time

from confluent_kafka import Producer

SHOP, VISITS = "shop", "visits"
PARTITIONS = {SHOP: 3, VISITS: 2}
RESTLESS_SECONDS = 20
LATE_MS = 60_000

RULES = """\
version: 1
defaults: {lateness: 4s, idle_after: 5s}
events:
  order:
    topic: SHOP
    time: at
    id: order_id
    fields:
      amount: {type: float, minimum: 0}
      region: string
  visit:
    topic: VISITS
    time: at
    fields: {region: string}
kpis:
  revenue: {from: order, value: sum(amount), by: [region], window: 5s}
  basket: {from: order, value: avg(amount), by: [region], window: 10s every 5s}
  orders: {from: order, value: count(*), by: [region], window: 5s}
  visits: {from: visit, value: count(*), by: [region], window: 5s}
  conversion: {from: [orders, visits], value: orders / visits}
rules:
  rich: {kpi: revenue, when: value > 400, for: 5s, clear: value < 300}
  quiet: {kpi: orders, no_data_for: 8s}
  poor: {kpi: conversion, when: value < 0.5}
"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Traffic:
    """Sends events from a thread of its own until `stop`."""

    def __init__(self, address: str, prefix: str, seed: int, events_per_second: float = 60) -> None:
        self._rng = random.Random(seed)
        self._prefix = prefix
        self._pause = 0.1
        self._each = events_per_second * self._pause
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "reconnect.backoff.max.ms": 500,
                "linger.ms": 5,
                "message.timeout.ms": 300_000,
                "log_level": 0,
            }
        )
        self._number = 0
        self.sent = 0
        self._stopping = threading.Event()
        self.failed: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._began = time.monotonic()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> int:
        """End with an event in every partition, a moment younger than all others; its time."""
        self._stopping.set()
        self._thread.join(30)
        time.sleep(0.6)
        end_ms = now_ms()
        for partition in range(PARTITIONS[SHOP]):
            order = {"at": end_ms, "order_id": f"end{partition}", "amount": 1.0, "region": "end"}
            self._send(SHOP, partition, order)
        for partition in range(PARTITIONS[VISITS]):
            self._send(VISITS, partition, {"at": end_ms, "region": "end"})
        assert self._producer.flush(120) == 0, "events were not delivered"
        self.check()
        return end_ms

    def check(self) -> None:
        """AssertionError when an event was not delivered, or the traffic ended by itself."""
        assert not self.failed, self.failed[:3]
        assert self._thread.is_alive() or self._stopping.is_set(), "the traffic ended by itself"

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._pause):
                for _ in range(self._rng.randint(0, round(2 * self._each))):
                    self._one()
                self._producer.poll(0)
        except Exception as error:
            self.failed.append(repr(error))
            raise

    def _one(self) -> None:
        rng, elapsed = self._rng, time.monotonic() - self._began
        phase = int(elapsed / RESTLESS_SECONDS)
        # One partition rests longer than `idle_after`, one region longer than its absence rule.
        partition = rng.choice([0, 0, 1, 1, 1, 2 if phase % 2 else 0])
        region = rng.choice(["eu", "eu", "us", "apac" if phase % 3 == 1 else "eu", None])
        at = now_ms() - rng.choice([0, 0, 50, 400])
        if rng.random() < 0.35:
            self._send(VISITS, rng.choice([0, 0, 0, 1]), {"at": at, "region": region})
            return
        self._number += 1
        dear = 5.0 if phase % 2 else 1.0
        order: dict[str, object] = {
            "at": at, "order_id": f"o{self._number}", "region": region,
            "amount": dear * rng.randint(1, 80) / 4,
        }  # fmt: skip
        self._send(SHOP, partition, order)
        dice = rng.random()
        if dice < 0.02:
            self._send(SHOP, partition, order)
        elif dice < 0.03:
            self._send(SHOP, partition, {**order, "amount": -1.0, "order_id": "bad"})
        elif dice < 0.035:
            self._raw(SHOP, partition, b"{rubbish")
        elif dice < 0.045:
            self._send(
                SHOP, partition, {**order, "at": at - LATE_MS, "order_id": f"l{self._number}"}
            )

    def _send(self, topic: str, partition: int, body: dict[str, object]) -> None:
        kind = "order" if topic == SHOP else "visit"
        self._raw(topic, partition, json.dumps({"type": kind, **body}).encode())

    def _raw(self, topic: str, partition: int, value: bytes) -> None:
        def delivered(error: object, _message: object) -> None:
            if error is not None:
                self.failed.append(str(error))

        self.sent += 1
        self._producer.produce(
            self._prefix + topic, value=value, partition=partition, on_delivery=delivered
        )
