"""When a source partition may be called quiet, so that time moves on without its events.

Quiet is only what a broker's answer proves: a fetch that was answered after the quiet began and
found the position at the log's end. A worker that slept (a stopped process, a suspended machine)
first answers from buffers filled before the sleep: what it learns then is no proof, so the quiet
begins anew when it wakes. The same holds when no answer came for a while: producers were cut off
from the brokers too, and need `idle_after` to send what they hold. A worker that may have lost its
membership says nothing about quiet.
"""

from __future__ import annotations

from aiokafka import TopicPartition

STALL_SECONDS = 3.0
"""A gap between two rounds of the loop that is no longer just a long fold."""


class IdleDetector:
    """Since when each partition is quiet. Clocks are arguments: wall (ms) and monotonic (s)."""

    def __init__(self, session_timeout_seconds: float, asked_every_seconds: float = 1.0) -> None:
        self._session_seconds = session_timeout_seconds
        self._most_apart_ms = (asked_every_seconds + STALL_SECONDS) * 1000
        self._since_ms: dict[TopicPartition, int] = {}
        self._answered_ms: dict[TopicPartition, int] = {}
        self._alive_at: float | None = None
        self._tick: tuple[float, int] | None = None

    def begin(self, tp: TopicPartition, wall_ms: int) -> None:
        """A partition taken on: it may be empty, so its quiet begins here."""
        self._since_ms[tp] = wall_ms

    def fetched(self, tp: TopicPartition, wall_ms: int) -> None:
        """Records came: quiet can begin after them."""
        self._since_ms[tp] = wall_ms

    def forget(self, tp: TopicPartition) -> None:
        """A partition given back."""
        self._since_ms.pop(tp, None)
        self._answered_ms.pop(tp, None)

    def alive(self, monotonic_seconds: float) -> None:
        """The group has just accepted this member's commit or given it partitions."""
        self._alive_at = monotonic_seconds

    def tick(self, monotonic_seconds: float, wall_ms: int) -> None:
        """One round of the loop. After a gap in either clock every quiet begins anew."""
        if self._tick is not None:
            gap = monotonic_seconds - self._tick[0]
            wall_gap = abs(wall_ms - self._tick[1]) / 1000
            if max(gap, wall_gap) > STALL_SECONDS:
                for tp in self._since_ms:
                    self._since_ms[tp] = wall_ms
        self._tick = (monotonic_seconds, wall_ms)

    def quiet_ms(self, tp: TopicPartition, end_seen_at_ms: int | None) -> int | None:
        """For how long the partition has been quiet; None: not known to be.

        `end_seen_at_ms`: wall clock of the last fetch answer, where it found the log's end.
        """
        since = self._since_ms.get(tp)
        if since is None or end_seen_at_ms is None or end_seen_at_ms < since:
            return None
        if self._alive_at is None or self._tick is None:
            return None
        now_ms = self._tick[1]
        answered_ms = self._answered_ms.get(tp, since)
        self._answered_ms[tp] = end_seen_at_ms
        if end_seen_at_ms - answered_ms > self._most_apart_ms:
            since = self._since_ms[tp] = end_seen_at_ms
        if self._tick[0] - self._alive_at > self._session_seconds:
            return None
        if now_ms - end_seen_at_ms > STALL_SECONDS * 1000:
            # The partition can't be reached: who knows what has come since.
            return None
        return end_seen_at_ms - since
