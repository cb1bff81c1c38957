"""What the agent tells other systems: dead letters, late records, values and alerts.

Every function gives the futures of its sends; the caller awaits them before it commits what they
came from. All of it is told at least once: consumers drop repeated keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from agent.core import encode
from agent.core.plan import Plan
from agent.core.results import Closings
from agent.kafka.topics import TopicNames

Send = asyncio.Future[Any]
Record: TypeAlias = "ConsumerRecord[Any, Any]"
Headers = list[tuple[str, bytes]]

YIELD_EVERY = 500  # sends between two chances for other tasks, heartbeats among them


def origin_headers(record: Record, reason: str, detail: str, contract: str | None) -> Headers:
    """The headers that say where a record came from and why it is here; its own go first."""
    ours = {
        "kpi-agent-topic": record.topic,
        "kpi-agent-partition": str(record.partition),
        "kpi-agent-offset": str(record.offset),
        "kpi-agent-reason": reason,
        "kpi-agent-detail": detail,
        "kpi-agent-contract": contract or "",
    }
    theirs = [(k, v) for k, v in record.headers if k not in ours]
    return theirs + [(name, value.encode("utf-8", "replace")) for name, value in ours.items()]


class Publisher:
    """Sends to the agent's topics through one producer."""

    def __init__(self, producer: AIOKafkaProducer, names: TopicNames) -> None:
        self._producer = producer
        self._names = names
        self._since_yield = 0

    async def frames(self, frames: Iterable[tuple[int, bytes]]) -> list[Send]:
        """Frames, each to its state partition, in the order given."""
        return [
            await self._send(self._names.frames, None, frame, partition=partition)
            for partition, frame in frames
        ]

    async def dead_letter(
        self, record: Record, reason: str, detail: str, contract: str | None
    ) -> Send:
        """One rejected record, its bytes as they came."""
        headers = origin_headers(record, reason, detail, contract)
        topic = self._names.dead_letters
        return await self._send(topic, record.key, record.value, headers=headers)

    async def late(self, record: Record, contract: str) -> Send:
        """One late record, its bytes as they came."""
        detail = "its slice of event time was sealed when it came"
        headers = origin_headers(record, "late", detail, contract)
        return await self._send(self._names.late, record.key, record.value, headers=headers)

    async def closings(self, plan: Plan, closings: Closings) -> list[Send]:
        """Closed windows and target states to the values topic, transitions to the alerts topic."""
        sends: list[Send] = []
        for window in closings.windows:
            if (kpi := plan.kpis.get(window.kpi)) is not None:
                sends.append(
                    await self._send(
                        self._names.values,
                        encode.window_key(kpi, window),
                        encode.dumps(encode.window_json(kpi, window)),
                    )
                )
        for status in closings.targets:
            if (kpi := plan.kpis.get(status.window.kpi)) is not None:
                sends.append(
                    await self._send(
                        self._names.values,
                        target_key(encode.window_key(kpi, status.window)),
                        encode.dumps(encode.target_json(kpi, status)),
                    )
                )
        for transition in closings.transitions:
            rule = plan.rules.get(transition.rule)
            sends.append(
                await self._send(
                    self._names.alerts,
                    encode.transition_key(plan, transition),
                    encode.dumps(encode.transition_json(plan, rule, transition)),
                )
            )
        return sends

    async def board(self, rows: Mapping[bytes, bytes | None]) -> list[Send]:
        """Rows of the board topic; None takes a row away."""
        return [await self._send(self._names.board, key, row) for key, row in rows.items()]

    async def _send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: Headers | None = None,
    ) -> Send:
        self._since_yield += 1
        if self._since_yield >= YIELD_EVERY:
            self._since_yield = 0
            await asyncio.sleep(0)
        sent: Send = await self._producer.send(
            topic, value=value, key=key, partition=partition, headers=headers
        )
        return sent


def target_key(window_key: bytes) -> bytes:
    """The key of a target state: that of its window, told apart by its kind."""
    return b'{"kind":"target",' + window_key.removeprefix(b"{")


async def acknowledged(sends: Sequence[Send]) -> None:
    """Wait until the broker has acknowledged all; raise the first failure once all are settled."""
    if not sends:
        return
    await asyncio.wait(sends)  # unlike gather, leaves the sends alone when this task is cancelled
    for send in sends:
        if (error := send.exception()) is not None:
            raise error
