"""How far event time has got over all source partitions of a topic.

- An active source is at its own watermark W: the running maximum of event time.
- An idle source (no records for `idle_after`, and seen to be at the end of its log) holds the
  others back only to the instant at which it was seen: records that are appended later are later.
- When all sources are idle, time advances by the clock: from the highest W, by the time for which
  all of them are known to have been idle. An old report of a worker that died proves nothing about
  the time since.
- A source that no frame has come from holds everything back: its records may have any time.
- A source whose worker died keeps its last report, so nothing closes on behalf of a dead worker.
- A topic that was deleted and created again starts over: reports about its old log are dropped.

Time never goes back. The clock is the one written in the frames, so the same frames give the same
watermarks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.frame import Frame
from agent.core.model.events import Contract


@dataclass(slots=True)
class SourceStatus:
    """What the last frame of one source partition said."""

    covered: int
    watermark_ms: int | None
    idle_ms: int | None
    clock_ms: int
    epoch: int = 0

    def idle_for(self, idle_after_ms: int) -> int | None:
        """For how long the source is idle; None when it is not."""
        return None if self.idle_ms is None or self.idle_ms < idle_after_ms else self.idle_ms

    def upto_ms(self, idle_after_ms: int) -> int | None:
        """How far event time may go on this source's account."""
        waited_ms = self.idle_for(idle_after_ms)
        if waited_ms is None:
            return self.watermark_ms
        if self.watermark_ms is None:
            return self.clock_ms
        return max(self.clock_ms, self.watermark_ms + waited_ms)


@dataclass(slots=True)
class TopicSources:
    """The source partitions of one topic, as their frames report them."""

    partitions: int = 0
    topic_id: str = ""  # "": no broker has published it
    statuses: dict[int, SourceStatus] = field(default_factory=dict)
    _reached: dict[str, int] = field(default_factory=dict)

    def is_stale(self, frame: Frame) -> bool:
        """Whether a frame covers less of its source than one that was applied, or is of a log that
        is gone."""
        if self._is_of_another_log(frame):
            return not self._is_of_a_later_log(frame)
        status = self.statuses.get(frame.partition)
        return status is not None and (frame.epoch, frame.covered) < (status.epoch, status.covered)

    def is_news(self, frame: Frame) -> bool:
        """Whether all that a frame holds was folded from records that no frame covered before."""
        status = self.statuses.get(frame.partition)
        if status is None or self._is_of_another_log(frame):
            return not frame.again
        return not frame.again and (frame.epoch, frame.covered) > (status.epoch, status.covered)

    def update(self, frame: Frame) -> None:
        """Note what the last frame of a flush says of its source."""
        if self._is_of_another_log(frame):
            self.partitions, self.statuses = 0, {}  # it may have fewer
        self.topic_id = frame.topic_id or self.topic_id
        self.partitions = max(self.partitions, frame.partitions)
        self.statuses[frame.partition] = SourceStatus(
            frame.covered, frame.watermark_ms, frame.idle_ms, frame.clock_ms, frame.epoch
        )

    def _is_of_another_log(self, frame: Frame) -> bool:
        return bool(self.topic_id and frame.topic_id) and frame.topic_id != self.topic_id

    def _is_of_a_later_log(self, frame: Frame) -> bool:
        """Ids have no order; a new log begins with a higher epoch than any source had before."""
        return frame.epoch > max((status.epoch for status in self.statuses.values()), default=-1)

    def watermark_ms(self, contract: Contract) -> int | None:
        """The watermark of one contract, None while nothing is known. Never goes back."""
        reached = self._reached.get(contract.name)
        now = self._now_ms(contract.idle_after_ms)
        if now is not None and (reached is None or now > reached):
            self._reached[contract.name] = reached = now
        return reached

    def _now_ms(self, idle_after_ms: int) -> int | None:
        if len(self.statuses) < self.partitions or not self.statuses:
            return None
        statuses = self.statuses.values()
        idle = [c.idle_for(idle_after_ms) for c in statuses]
        if all(quiet is not None for quiet in idle):
            known = [c.watermark_ms for c in statuses if c.watermark_ms is not None]
            began_ms = max(c.clock_ms - (c.idle_ms or 0) for c in statuses)
            shared_ms = min(c.clock_ms for c in statuses) - began_ms
            if not known:
                return None
            if shared_ms >= 0:
                return max(known) + shared_ms
        upto = [c.upto_ms(idle_after_ms) for c in statuses]
        settled = [at for at in upto if at is not None]
        return min(settled) if len(settled) == len(upto) else None
