"""The recent records of each event: the rate per minute, and the last one that was rejected.

Of this worker, since it started.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping

from agent.core.model.event_counts import RejectedRecord
from agent.core.model.results import Reject
from agent.core.output.privacy import masked

MINUTE_MS = 60_000
MINUTES = 15
"""The period of rates; shorter if the worker started later."""


class Arrivals:
    """Records by event and minute. An event "" stands for records that no contract reads."""

    def __init__(self) -> None:
        self._minutes: deque[tuple[int, Counter[str]]] = deque(maxlen=MINUTES + 1)
        self._started_ms: int | None = None
        self._rejected: dict[str, tuple[int, str, Reject]] = {}

    def note(
        self, topic: str, records: Mapping[str, int], rejects: Iterable[Reject], now_ms: int
    ) -> None:
        """Count a batch. `now_ms` is the wall clock."""
        self._started_ms = self._started_ms or now_ms
        minute = now_ms // MINUTE_MS
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append((minute, Counter()))
        self._minutes[-1][1].update(records)
        for reject in rejects:
            self._rejected[reject.contract or ""] = now_ms, topic, reject

    def per_minute(self, event: str, now_ms: int) -> float:
        """The rate of an event's records per minute, over the last MINUTES."""
        if self._started_ms is None:
            return 0.0
        since_ms = max(self._started_ms, (now_ms // MINUTE_MS - MINUTES) * MINUTE_MS)
        recent = (counts[event] for at, counts in self._minutes if at >= since_ms // MINUTE_MS)
        return sum(recent) / max((now_ms - since_ms) / MINUTE_MS, 1)

    def last_rejected(self, event: str) -> RejectedRecord | None:
        """The last rejected record of an event."""
        if event not in self._rejected:
            return None
        at_ms, topic, reject = self._rejected[event]
        return RejectedRecord(
            at_ms, topic, reject.partition, reject.offset, reject.reason.value,
            masked(reject.detail),
        )  # fmt: skip
