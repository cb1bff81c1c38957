"""The newest transitions of all alerts, as the alerts topic has them: the same on every worker."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.kafka.topic_tail import tail
from agent.settings import Settings

KEPT = 1_000
"""So many transitions are kept in memory, the newest by event time. The topic has all of its
retention."""

PublishedTransition = dict[str, Any]
"""The value of a message of the alerts topic (docs/operations.md, kpi-alerts)."""

NEEDED = {"rule", "severity", "kpi", "dimensions", "at", "episode", "state"}
"""What those who read transitions rely on."""

_transitions = msgspec.json.Decoder(PublishedTransition)


class AlertLog:
    """The newest transitions, each once however often it was published. `changes` counts its
    changes."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.changes = 0
        self.complete = False
        self._settings = settings
        self._topic = topic
        self._transitions: dict[bytes, PublishedTransition] = {}
        self._sorted: list[PublishedTransition] | None = None

    def transitions(self) -> list[PublishedTransition]:
        """The newest first. The list is kept until something changes: don't change it."""
        if self._sorted is None:
            self._sorted = self._newest()
        return self._sorted

    def add(self, key: bytes, value: bytes | None) -> None:
        """Add one message of the topic; one that can't be read is skipped."""
        try:
            transition = _transitions.decode(value or b"")
        except msgspec.DecodeError:
            return
        if not transition.keys() >= NEEDED:
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
        """Read the topic's last messages, and what comes, until cancelled."""

        def complete() -> None:
            self.complete = True

        await tail(self._settings, self._topic, self.add, complete, last=KEPT)

    def _newest(self) -> list[PublishedTransition]:
        return sorted(self._transitions.values(), key=_order, reverse=True)[:KEPT]


def _order(transition: PublishedTransition) -> tuple[str, str]:
    """By event time. ISO 8601 in UTC sorts as text, once its milliseconds are not left out."""
    at = transition["at"].removesuffix("Z")
    return at if "." in at else f"{at}.000", str(transition.get("processed", ""))
