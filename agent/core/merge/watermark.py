"""The watermark of a contract: the minimum over the source partitions of all its topics.

- An active source contributes its own watermark: the running maximum of event time.
- An idle source (no records for `idle_after`, confirmed at the end of its log) holds the others
  back only to the instant of that confirmation, because later records have later times.
- If all sources are idle, time advances with the clock: from the highest watermark, by the time for
  which all of them are known to have been idle. The last report of a dead worker says nothing about
  the time since.
- A source without a frame yet holds back everything: its records may have any time.
- So does a topic without a frame, once the frames of another topic of the contract list it. A topic
  that they no longer list was deleted, and is ignored.
- A source that has ended, as a file does, is ignored while others have not ended.
- A source whose worker died keeps its last report, so windows wait for its next owner.
- The frames of a flush count together: the watermark waits for the last of them.
- A topic that was deleted and created again starts over: reports about its old log are dropped.
  While its new log is empty and idle, time advances with the clock from where it was.

The watermark never goes back. The clock comes from the frames, so the same frames give the same
watermarks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from agent.core.frame import Frame
from agent.core.model.events import Contract

Source = tuple[str, int]
"""A source partition: its topic and number."""


class SourceStatus(msgspec.Struct, array_like=True, frozen=True):
    """The state of one source partition, as in its last frame."""

    covered: int
    watermark_ms: int | None
    idle_ms: int | None
    clock_ms: int
    epoch: int = 0
    siblings: dict[str, int] = {}

    def idle_for(self, idle_after_ms: int) -> int | None:
        """For how long the source has been idle; None: it is not idle."""
        return None if self.idle_ms is None or self.idle_ms < idle_after_ms else self.idle_ms

    def upto_ms(self, idle_after_ms: int) -> int | None:
        """The instant up to which this source does not hold back event time."""
        waited_ms = self.idle_for(idle_after_ms)
        if waited_ms is None:
            return self.watermark_ms
        if self.watermark_ms is None:
            return self.clock_ms
        return max(self.clock_ms, self.watermark_ms + waited_ms)


@dataclass(slots=True)
class TopicSources:
    """The source partitions of one topic, as their frames report them."""

    number: int = 0  # of the topic in this merger
    partitions: int = 0
    topic_id: str = ""  # "": the broker has none
    statuses: dict[int, SourceStatus] = field(default_factory=dict)
    siblings: dict[str, int] = field(default_factory=dict)  # as listed by the last frames
    ended: set[int] = field(default_factory=set)
    flushing: set[int] = field(default_factory=set)  # partitions with an unfinished flush

    def source_of(self, frame: Frame) -> int:
        """A number that is unique for a source and its epoch."""
        return frame.partition | frame.epoch << 32 | self.number << 64

    def is_of_another_log(self, frame: Frame) -> bool:
        """Whether a frame is of another log of a topic that was created again."""
        return bool(self.topic_id and frame.topic_id) and frame.topic_id != self.topic_id

    def is_stale(self, frame: Frame) -> bool:
        """Whether a frame covers less of its source than an applied one, or is of a deleted log."""
        if self.is_of_another_log(frame):
            return not self._is_of_a_later_log(frame)
        status = self.statuses.get(frame.partition)
        return status is not None and (frame.epoch, frame.covered) < (status.epoch, status.covered)

    def covers_new_records(self, frame: Frame) -> bool:
        """Whether a frame covers only records that no earlier frame covered."""
        status = self.statuses.get(frame.partition)
        if frame.resent:
            return False
        if status is None or self.is_of_another_log(frame) or frame.epoch > status.epoch:
            return True
        # That of an owner who lost the source without noticing may overlap its successor's.
        begin = status.covered if frame.covered_before is None else frame.covered_before
        return (
            frame.epoch == status.epoch
            and status.covered <= begin
            and (status.covered < frame.covered)
        )

    def is_final(self, partition: int, epoch: int, watermark_ms: int) -> bool:
        """Whether a source is past a watermark in an epoch: its partials of slices that it seals by
        then are final."""
        status = self.statuses.get(partition)
        if partition in self.ended:
            return True
        if status is None or status.epoch != epoch:
            return status is not None and status.epoch > epoch
        return status.watermark_ms is not None and status.watermark_ms >= watermark_ms

    def update(self, frame: Frame) -> bool:
        """Update a source from the last frame of a flush; returns whether the set of sources
        changed."""
        before = len(self.statuses), self.partitions, self.siblings
        if self.is_of_another_log(frame):
            self.partitions, self.statuses = 0, {}  # the new topic may have fewer
            self.flushing.clear()
        self.flushing.discard(frame.partition)
        self.topic_id = frame.topic_id or self.topic_id
        self.partitions = max(self.partitions, frame.partitions)
        last = self.statuses.get(frame.partition)
        self.statuses[frame.partition] = SourceStatus(
            frame.covered, frame.watermark_ms, frame.idle_ms, frame.clock_ms, frame.epoch,
            frame.siblings,
        )  # fmt: skip
        if last is None or last.siblings != frame.siblings:
            self.siblings = _most(status.siblings for status in self.statuses.values())
        return before != (len(self.statuses), self.partitions, self.siblings)

    def _is_of_a_later_log(self, frame: Frame) -> bool:
        """Whether a log is newer: it begins with a higher epoch than any source had before (topic
        ids have no order)."""
        return frame.epoch > max((status.epoch for status in self.statuses.values()), default=-1)


class ContractSources:
    """The source partitions of all topics of one contract. `topics`: all topics of the merger."""

    def __init__(self, contract: Contract, topics: Mapping[str, TopicSources]) -> None:
        self.contract = contract
        self.is_complete = False  # whether every source has sent a frame
        self._of_merger = topics
        self._topics: Mapping[str, TopicSources] = {}
        self._reached_ms: int | None = None
        self._before_ms: int | None = None

    def refresh(self) -> None:
        """Update which topics and partitions exist."""
        own = self.contract.topics
        active = {t: s for t, s in self._of_merger.items() if s.statuses and t in own}
        listed = _most(sources.siblings for sources in active.values())
        listed = {topic: count for topic, count in listed.items() if topic in own}
        self._topics = {t: s for t, s in active.items() if t in listed} or active
        self.is_complete = listed.keys() <= active.keys() and all(
            len(sources.statuses) >= max(sources.partitions, listed.get(topic, 0))
            for topic, sources in self._topics.items()
        )

    def sources(self) -> Iterator[tuple[Source, SourceStatus]]:
        """The status of each source, as in its last frame."""
        for topic, sources in self._topics.items():
            for partition, status in sources.statuses.items():
                yield (topic, partition), status

    def have_passed(self, watermark_ms: int) -> bool:
        """Whether each source's own watermark has reached an instant, even if it is idle."""
        return all(
            status.watermark_ms is not None and status.watermark_ms >= watermark_ms
            for status in self._statuses()
        )

    def name_of(self, source: int) -> tuple[str, int, int]:
        """The topic, partition and epoch of a source (`TopicSources.source_of`)."""
        topic = next(t for t, s in self._of_merger.items() if s.number == source >> 64)
        return topic, source & 0xFFFF_FFFF, source >> 32 & 0xFFFF_FFFF

    def is_final(self, topic: str, partition: int, epoch: int, watermark_ms: int) -> bool:
        """Whether a source is past a watermark (`TopicSources.is_final`)."""
        sources = self._of_merger.get(topic)
        return sources is not None and sources.is_final(partition, epoch, watermark_ms)

    @property
    def reached_ms(self) -> int | None:
        """The last result of `watermark_ms`."""
        return self._reached_ms

    @property
    def before_ms(self) -> int | None:
        """The watermark when a topic was last created again; None: none was."""
        return self._before_ms

    def start_over(self) -> None:
        """Note that a topic was created again: its new log may stay empty."""
        self._before_ms = self._reached_ms

    def restore(self, reached_ms: int | None, before_ms: int | None = None) -> None:
        """Continue from the watermarks before a restart, once the topics have their sources."""
        self._reached_ms, self._before_ms = reached_ms, before_ms
        self.refresh()

    def watermark_ms(self) -> int | None:
        """The watermark; None while it is unknown. It never goes back."""
        now = self._now_ms(self.contract.idle_after_ms)
        if now is not None and (self._reached_ms is None or now > self._reached_ms):
            self._reached_ms = now
        return self._reached_ms

    def _now_ms(self, idle_after_ms: int) -> int | None:
        if not self.is_complete or any(sources.flushing for sources in self._topics.values()):
            return None
        statuses = self._statuses()
        if all(c.idle_for(idle_after_ms) is not None for c in statuses):
            known = [c.watermark_ms for c in statuses if c.watermark_ms is not None]
            if not known and self._before_ms is not None:
                known = [self._before_ms]
            began_ms = max(c.clock_ms - (c.idle_ms or 0) for c in statuses)
            shared_ms = min(c.clock_ms for c in statuses) - began_ms
            if not known:
                return None
            if shared_ms >= 0:
                return max(known) + shared_ms
        upto = [c.upto_ms(idle_after_ms) for c in statuses]
        settled = [at for at in upto if at is not None]
        return min(settled) if len(settled) == len(upto) else None

    def _statuses(self) -> list[SourceStatus]:
        """The statuses of the sources that have not ended, or of all if all have ended."""
        topics = self._topics.values()
        every = [*chain.from_iterable(sources.statuses.values() for sources in topics)]
        if not any(sources.ended for sources in topics):
            return every
        return [
            status
            for sources in topics
            for partition, status in sources.statuses.items()
            if partition not in sources.ended
        ] or every


class Sources:
    """All source partitions of one state partition, as their frames report them."""

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self.topics: dict[str, TopicSources] = {}
        self.contracts = {c.name: ContractSources(c, self.topics) for c in contracts}

    def of_topic(self, topic: str) -> TopicSources:
        """The sources of a topic."""
        if topic not in self.topics:
            self.topics[topic] = TopicSources(number=len(self.topics))
        return self.topics[topic]

    def of_contract(self, contract: str) -> ContractSources:
        """The sources of a contract."""
        return self.contracts[contract]

    def update(self, frame: Frame) -> None:
        """Update a source from the last frame of a flush."""
        topic = self.of_topic(frame.topic)
        starts_over = topic.is_of_another_log(frame)
        if topic.update(frame) or starts_over:
            for sources in self.contracts.values():
                if frame.topic in sources.contract.topics:
                    if starts_over:
                        sources.start_over()
                    sources.refresh()


def _most(siblings: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Each listed topic, with the highest number of partitions listed for it."""
    most: dict[str, int] = {}
    for topic, count in chain.from_iterable(listed.items() for listed in siblings):
        most[topic] = max(count, most.get(topic, 0))
    return most
