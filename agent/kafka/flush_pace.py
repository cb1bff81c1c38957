"""Decides when the ingest flushes.

every interval          while events arrive
every second interval   while none arrive: such a flush only advances time
at once                 when a backlog has been read to its end
at once                 when FLUSH_RECORDS of a backlog are unflushed, to merge while reading on
after RETRY_SECONDS     while the last flush is not acknowledged: the next covers both
"""

from __future__ import annotations

from agent.kafka.source_consumer import MAX_POLL_RECORDS

IDLE_INTERVALS = 2
RETRY_SECONDS = 0.08
FLUSH_RECORDS = 200_000


class FlushPace:
    """Decides when the next flush is due. Times are monotonic seconds."""

    def __init__(self, interval_seconds: float, now: float) -> None:
        self.behind = False  # a backlog is being read
        self._interval = interval_seconds
        self._due_at = now + interval_seconds
        self._resting = False  # the last flush had no event
        self._caught_up = False

    def until_due_ms(self, now: float) -> int:
        """How long a fetch may wait."""
        return max(0, int((self._due_at - now) * 1000)) + 1

    def fetched(self, records: int, at_end: bool) -> None:
        """Note the number of fetched records; `at_end`: there are no more."""
        if records and self._resting:
            self._due_at -= (IDLE_INTERVALS - 1) * self._interval
            self._resting = False
        full = records >= MAX_POLL_RECORDS
        self._caught_up = self.behind and not full and at_end
        self.behind = full or (self.behind and not self._caught_up)

    def is_due(self, unflushed: int, now: float) -> bool:
        """Whether to flush now."""
        return self._caught_up or unflushed >= FLUSH_RECORDS or now >= self._due_at

    def flushed(self, started: bool, had_events: bool, now: float) -> None:
        """Note that a flush was started, or could not be yet."""
        self._resting = started and not had_events
        pause = IDLE_INTERVALS * self._interval if self._resting else self._interval
        self._due_at = now + (pause if started else RETRY_SECONDS)
