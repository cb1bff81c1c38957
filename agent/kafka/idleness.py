"""Measures how long source partitions have been idle, so that event time advances without them.

A partition is idle only if a broker proves it: by the response to a fetch after the idle time
began, with the position at the end of the log. The idle time of a partition begins

- when it is assigned, and with each of its records;
- again, when this worker was suspended (a stopped process or machine): its first responses come
  from buffers that were filled before;
- again, when no response came for a while: producers could not reach the brokers either, and need
  `idle_after` to send what they have.

A worker that may have lost its membership reports nothing as idle.
"""

from __future__ import annotations

from aiokafka import TopicPartition

STALL_SECONDS = 3.0
"""A longer gap between two rounds of the loop is not just a long fold."""


class IdleDetector:
    """The idle times of all partitions. Clocks are arguments: wall (ms), monotonic (s)."""

    def __init__(self, session_timeout_seconds: float, asked_every_seconds: float = 1.0) -> None:
        self._session_seconds = session_timeout_seconds
        self._longest_silence_ms = (asked_every_seconds + STALL_SECONDS) * 1000
        self._since_ms: dict[TopicPartition, int] = {}
        self._answered_ms: dict[TopicPartition, int] = {}
        self._member_at: float | None = None
        self._last_tick: tuple[float, int] | None = None

    def begin(self, tp: TopicPartition, wall_ms: int) -> None:
        """A partition is assigned: it may be empty, so its idle time begins here."""
        self._since_ms[tp] = wall_ms

    def received(self, tp: TopicPartition, wall_ms: int) -> None:
        """Records arrived: the idle time begins after them."""
        self._since_ms[tp] = wall_ms

    def forget(self, tp: TopicPartition) -> None:
        """A partition is revoked."""
        self._since_ms.pop(tp, None)
        self._answered_ms.pop(tp, None)

    def confirm_membership(self, monotonic_seconds: float) -> None:
        """The group has just accepted this member's commit, or assigned partitions to it."""
        self._member_at = monotonic_seconds

    def tick(self, monotonic_seconds: float, wall_ms: int) -> None:
        """One round of the loop. After a gap in either clock, all idle time begins again."""
        if self._last_tick is not None:
            gap = monotonic_seconds - self._last_tick[0]
            wall_gap = abs(wall_ms - self._last_tick[1]) / 1000
            if max(gap, wall_gap) > STALL_SECONDS:
                self._since_ms = dict.fromkeys(self._since_ms, wall_ms)
        self._last_tick = (monotonic_seconds, wall_ms)

    def idle_ms(self, tp: TopicPartition, end_seen_ms: int | None) -> int | None:
        """How long a partition has been idle; None: it is not, or that is not known.

        `end_seen_ms`: wall clock of the last fetch response, if it was at the end of the log.
        """
        since = self._since_ms.get(tp)
        if since is None or end_seen_ms is None or end_seen_ms < since:
            return None
        if self._member_at is None or self._last_tick is None:
            return None
        now_ms = self._last_tick[1]
        answered_ms = self._answered_ms.get(tp, since)
        self._answered_ms[tp] = end_seen_ms
        if end_seen_ms - answered_ms > self._longest_silence_ms:
            since = self._since_ms[tp] = end_seen_ms
        if self._last_tick[0] - self._member_at > self._session_seconds:
            return None
        if now_ms - end_seen_ms > STALL_SECONDS * 1000:
            return None  # the broker can't be reached: records may have come since
        return end_seen_ms - since
