"""Events that can be checked: seeded, live, with disorder, repeats, rubbish and late ones.

What is late does not depend on who reads when: a late event follows, in its own partition, one
that is a minute younger. What came out right is computed later, from what is in the topics.
"""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass

from confluent_kafka import Producer

SHOP, VISITS = "shop", "visits"
PARTITIONS = {SHOP: 3, VISITS: 2}
RESTLESS_SECONDS = 20
PAUSE_MS = 100
EVENTS_PER_SECOND = 60
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
  revenue:
    from: order
    value: sum(amount)
    by: [region]
    window: 5s
    target: {at_least: 100, warn: 200}
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


@dataclass(frozen=True)
class Shares:
    """How traffic is spread over the partitions of each topic, and which of them is empty for
    good. `silent` is one of the visits' that sends nothing in the time that `leap` passes over."""

    shop: tuple[int, ...] = (0, 0, 1, 1, 1, 2)
    visits: tuple[int, ...] = (0, 0, 0, 1)
    silent: int | None = None

    def places(self) -> list[tuple[str, int]]:
        """Every partition that has events."""
        named = [(SHOP, p) for p in self.shop] + [(VISITS, p) for p in self.visits]
        return sorted(set(named))


EVEN = Shares()


class Traffic:
    """Sends events from a thread of its own until `stop`. `behind_ms`: they happen so long ago."""

    def __init__(
        self, address: str, prefix: str, seed: int, shares: Shares, behind_ms: int = 0
    ) -> None:
        self._rng = random.Random(seed)
        self._prefix = prefix
        self._shares = shares
        self._behind_ms = behind_ms
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "reconnect.backoff.max.ms": 500,
                "linger.ms": 5,
                "message.timeout.ms": 300_000,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 0,
            }
        )
        self._number = 0
        self.sent = 0
        self._stopping = threading.Event()
        self.failed: list[str] = []
        self._turn = threading.Lock()
        self._leaping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._began_ms = self._now_ms()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> int:
        """End with an event in every partition, a moment younger than all others; its time."""
        self._stopping.set()
        self._thread.join(30)
        time.sleep(0.6)
        end_ms = self._now_ms()
        for topic, partition in self._shares.places():
            body: dict[str, object] = {"at": end_ms, "region": "end"}
            if topic == SHOP:
                body |= {"order_id": f"end{partition}", "amount": 1.0}
            self._send(topic, partition, body, end_ms)
        assert self._producer.flush(120) == 0, "events were not delivered"
        self.check()
        return end_ms

    def leap(self, events_per_second: float) -> None:
        """Send all that happens up to the present, and be in the present from then on."""
        with self._turn:
            then_ms, self._behind_ms, self._leaping = self._now_ms(), 0, True
            while (then_ms := then_ms + PAUSE_MS) < now_ms():
                self._tick(then_ms, events_per_second)
            self._leaping = False
            assert self._producer.flush(120) == 0, "events were not delivered"

    def check(self) -> None:
        """AssertionError when an event was not delivered, or the traffic ended by itself."""
        assert not self.failed, self.failed[:3]
        assert self._thread.is_alive() or self._stopping.is_set(), "the traffic ended by itself"

    def end(self) -> None:
        """Send no more, whatever is under way."""
        self._stopping.set()

    def _now_ms(self) -> int:
        return now_ms() - self._behind_ms

    def _run(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_MS / 1000):
                with self._turn:
                    self._tick(self._now_ms(), EVENTS_PER_SECOND)
        except Exception as error:
            self.failed.append(repr(error))
            raise

    def _tick(self, then_ms: int, events_per_second: float) -> None:
        """What happens in one pause."""
        most = round(2 * events_per_second * PAUSE_MS / 1000)
        for _ in range(self._rng.randint(0, most)):
            self._step(then_ms)
        self._producer.poll(0)

    def _step(self, then_ms: int) -> None:
        rng, shares = self._rng, self._shares
        phase = (then_ms - self._began_ms) // 1000 // RESTLESS_SECONDS
        # One partition rests longer than `idle_after`, one region longer than its absence rule.
        partition = rng.choice(shares.shop)
        if partition == 2 and phase % 2 == 0:
            partition = 0
        region = rng.choice(["eu", "eu", "us", "apac" if phase % 3 == 1 else "eu", None])
        at = then_ms - rng.choice([0, 0, 50, 400])
        if rng.random() < 0.35:
            place = rng.choice(shares.visits)
            if not (self._leaping and place == shares.silent):
                self._send(VISITS, place, {"at": at, "region": region}, then_ms)
            return
        self._number += 1
        dear = 5.0 if phase % 2 else 1.0
        order: dict[str, object] = {
            "at": at, "order_id": f"o{self._number}", "region": region,
            "amount": dear * rng.randint(1, 80) / 4,
        }  # fmt: skip
        self._send(SHOP, partition, order, then_ms)
        dice = rng.random()
        if dice < 0.02:
            self._send(SHOP, partition, order, then_ms)
        elif dice < 0.03:
            bad = {**order, "amount": -1.0, "order_id": "bad"}
            self._send(SHOP, partition, bad, then_ms)
        elif dice < 0.035:
            self._raw(SHOP, partition, b"{rubbish", then_ms)
        elif dice < 0.045:
            late = {**order, "at": at - LATE_MS, "order_id": f"l{self._number}"}
            self._send(SHOP, partition, late, then_ms)

    def _send(self, topic: str, partition: int, body: dict[str, object], then_ms: int) -> None:
        kind = "order" if topic == SHOP else "visit"
        self._raw(topic, partition, json.dumps({"type": kind, **body}).encode(), then_ms)

    def _raw(self, topic: str, partition: int, value: bytes, then_ms: int) -> None:
        def delivered(error: object, _message: object) -> None:
            if error is not None:
                self.failed.append(str(error))

        self.sent += 1
        self._producer.produce(
            self._prefix + topic, value=value, partition=partition, timestamp=then_ms,
            on_delivery=delivered,
        )  # fmt: skip
