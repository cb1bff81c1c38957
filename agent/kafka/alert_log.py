"""The newest steps of all alerts, as the alerts topic has them: the same on every worker."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.kafka.topic_tail import tail
from agent.settings import Settings

KEPT = 1_000
"""Steps that are kept in memory, the newest by event time. The topic has all of its retention."""

Step = dict[str, Any]
"""The value of a message of the alerts topic (docs/operations.md, kpi-alerts)."""

NEEDED = {"rule", "severity", "kpi", "dimensions", "at", "episode", "state"}
"""What those who read steps rely on."""

_steps = msgspec.json.Decoder(Step)


class AlertLog:
    """The newest steps, each once however often it was published. `changes` counts its changes."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.changes = 0
        self.complete = False
        self._settings = settings
        self._topic = topic
        self._steps: dict[bytes, Step] = {}
        self._sorted: list[Step] | None = None

    def steps(self) -> list[Step]:
        """The newest first. The list is kept until something changes: don't change it."""
        if self._sorted is None:
            self._sorted = self._newest()
        return self._sorted

    def add(self, key: bytes, value: bytes | None) -> None:
        """Add one message of the topic; one that can't be read is skipped."""
        try:
            step = _steps.decode(value or b"")
        except msgspec.DecodeError:
            return
        if not step.keys() >= NEEDED:
            return
        self._steps[key] = step
        if len(self._steps) > 2 * KEPT:
            newest = sorted(self._steps.items(), key=lambda item: _order(item[1]), reverse=True)
            self._steps = dict(newest[:KEPT])
        self.changes += 1
        self._sorted = None

    async def run(self) -> None:
        """Read the topic's last messages, and what comes, until cancelled."""

        def complete() -> None:
            self.complete = True

        await tail(self._settings, self._topic, self.add, complete, last=KEPT)

    def _newest(self) -> list[Step]:
        return sorted(self._steps.values(), key=_order, reverse=True)[:KEPT]


def _order(step: Step) -> tuple[str, str]:
    """By event time. ISO 8601 in UTC sorts as text, once its milliseconds are not left out."""
    at = step["at"].removesuffix("Z")
    return at if "." in at else f"{at}.000", str(step.get("processed", ""))
