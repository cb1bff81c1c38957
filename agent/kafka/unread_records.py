"""Tracks which records of source partitions are not read yet.

The end offset of a deleted topic can't be requested any more, so each flush notes the end offsets.
A log may have grown since: the number of unread records is a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import TopicPartition

Offsets = Mapping[TopicPartition, int]


class UnreadRecords:
    """The offsets between those that frames cover and the end of each log."""

    def __init__(self) -> None:
        self._covered: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    def begin(self, tp: TopicPartition, covered: int) -> None:
        """Note that a partition is read from an offset on."""
        self.forget(tp)
        self._covered[tp] = covered

    def forget(self, tp: TopicPartition) -> None:
        """Forget a revoked partition."""
        self._covered.pop(tp, None)
        self._ends.pop(tp, None)

    def acknowledged(self, covered: Offsets) -> None:
        """Note the offsets that acknowledged frames cover."""
        self._covered.update((tp, at) for tp, at in covered.items() if tp in self._covered)

    def ended(self, ends: Offsets) -> None:
        """Note the end offsets of topics that still existed afterwards."""
        self._ends.update((tp, end) for tp, end in ends.items() if tp in self._covered)

    def of_topic(self, topic: str) -> dict[TopicPartition, range]:
        """The unread offsets of a topic, by partition."""
        unread = {
            tp: range(self._covered[tp], end)
            for tp, end in sorted(self._ends.items())
            if tp.topic == topic
        }
        return {tp: offsets for tp, offsets in unread.items() if offsets}
