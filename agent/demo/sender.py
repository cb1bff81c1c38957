"""Sends the demo's messages to a broker when they are due, on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from confluent_kafka import Producer

from agent import clock
from agent.demo.generator import TICK_MS, Company, Message
from agent.demo.retail import TOPIC, Timelapse

CHUNK_TICKS = 20
"""Two seconds of the company's events, made and sent within some ten milliseconds: the loop, which
also serves the board, is never held for longer."""
CHUNK_EVENTS = 500
PAUSE_SECONDS = TICK_MS / 1000
FLUSH_SECONDS = 5.0


class Sender:
    """A producer of the demo's messages. `sent`: how many it has handed to the client so far."""

    def __init__(self, bootstrap: str) -> None:
        self.sent = 0
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": 20,
                "compression.type": "lz4",
                "enable.idempotence": False,  # the embedded broker may be gone first, at the end
                "log_level": 0,
            }
        )

    async def send_company(self, company: Company) -> None:
        """Send the company's backfilled history at once, then its events as they happen,
        forever."""
        tick = company.first_tick
        while True:
            now_tick = company.tick_of(clock.now_ms())
            while tick < now_tick:
                upto = min(tick + CHUNK_TICKS, now_tick)
                await self._hand_over(company.between(tick, upto))
                tick = upto
            await asyncio.sleep(PAUSE_SECONDS)

    async def send_year(self, year: Timelapse) -> None:
        """Send the retailer's events in their rhythm, until the last of them."""
        started = time.monotonic()
        sent = 0
        while sent < len(year.events):
            due = year.due(sent, time.monotonic() - started)[:CHUNK_EVENTS]
            now_ms = clock.now_ms()
            await self._hand_over(Message(TOPIC, e.key, e.value, now_ms) for e in due)
            sent += len(due)
            if len(due) < CHUNK_EVENTS:
                await asyncio.sleep(PAUSE_SECONDS)

    async def close(self) -> None:
        """Wait up to FLUSH_SECONDS for unacknowledged messages, then drop them."""
        left = await asyncio.to_thread(self._producer.flush, FLUSH_SECONDS)
        if left:
            self._producer.purge()

    async def _hand_over(self, messages: Iterable[Message]) -> None:
        for message in messages:
            while not self._produce(message):  # noqa: ASYNC110 - librdkafka has no event to wait for
                await asyncio.sleep(PAUSE_SECONDS)
            self.sent += 1
        self._producer.poll(0)
        await asyncio.sleep(0)

    def _produce(self, message: Message) -> bool:
        """Hand one message to the client; False while its queue is full, as with a slow broker."""
        try:
            # No timestamp: the client sets it, and events too far in its future are rejected.
            self._producer.produce(message.topic, value=message.value, key=message.key)
        except BufferError:
            self._producer.poll(0)
            return False
        return True
