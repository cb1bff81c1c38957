"""The newest transitions of all alerts, read from the alerts topic: the same on every worker."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.core.output.messages import PublishedTransition
from agent.kafka.topic_tail import tail
from agent.settings import Settings

KEPT = 1_000
"""Transitions that are kept in memory, the newest by event time."""

REQUIRED = {"rule", "severity", "kpi", "dimensions", "at", "episode", "state"}
"""The members that readers of transitions rely on."""

_decoder = msgspec.json.Decoder(dict[str, Any])


class AlertLog:
    """The newest transitions, each once however often it was published. `changes` counts how often
    the list has changed."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.changes = 0
        self.complete = False
        self._settings = settings
        self._topic = topic
        self._transitions: dict[bytes, PublishedTransition] = {}
        self._sorted: list[PublishedTransition] | None = None

    def transitions(self) -> list[PublishedTransition]:
        """All of them, newest first. The list is cached until the next change: don't modify it."""
        if self._sorted is None:
            self._sorted = self._newest()
        return self._sorted

    def add(self, key: bytes, value: bytes | None) -> None:
        """Add one message of the topic; one that can't be read is skipped."""
        try:
            transition = _decoder.decode(value or b"")
        except msgspec.DecodeError:
            return
        if not transition.keys() >= REQUIRED:
            return
        self._transitions[key] = transition
        if len(self._transitions) > 2 * KEPT:
            newest = sorted(
                self._transitions.items(), key=lambda item: _order(item[1]), reverse=True
            )
            self._transitions = dict(newest[:KEPT])
        self.changes += 1
        self._sorted = None

    async def run(self) -> None:
        """Read the newest messages of the topic and follow it, until cancelled."""

        def complete() -> None:
            self.complete = True

        await tail(self._settings, self._topic, self.add, complete, last=KEPT)

    def _newest(self) -> list[PublishedTransition]:
        return sorted(self._transitions.values(), key=_order, reverse=True)[:KEPT]


def _order(transition: PublishedTransition) -> tuple[str, str]:
    """The sort key for event time: ISO 8601 in UTC sorts as text if it always has milliseconds."""
    at = transition["at"].removesuffix("Z")
    return at if "." in at else f"{at}.000", str(transition.get("processed", ""))
