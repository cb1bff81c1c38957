"""What is known not to have been read of each source partition.

Nobody can ask how long the log of a topic was that is deleted. So each flush notes how long it was
while it was there. The log may have grown since: what is found here is missing at least.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import TopicPartition

Offsets = Mapping[TopicPartition, int]


class UnreadRecords:
    """The offsets between what frames cover and the end of each log."""

    def __init__(self) -> None:
        self._covered: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    def begin(self, tp: TopicPartition, covered: int) -> None:
        """Note that a partition is read from here on."""
        self.forget(tp)
        self._covered[tp] = covered

    def forget(self, tp: TopicPartition) -> None:
        """Forget a partition that was taken away."""
        self._covered.pop(tp, None)
        self._ends.pop(tp, None)

    def acknowledged(self, covered: Offsets) -> None:
        """Note what frames cover that the broker has acknowledged."""
        self._covered.update((tp, at) for tp, at in covered.items() if tp in self._covered)

    def ended(self, ends: Offsets) -> None:
        """Note where logs end, of topics that were there afterwards."""
        self._ends.update((tp, end) for tp, end in ends.items() if tp in self._covered)

    def of_topic(self, topic: str) -> dict[TopicPartition, range]:
        """The offsets of a topic that are not read, by partition."""
        unread = {
            tp: range(self._covered[tp], end)
            for tp, end in sorted(self._ends.items())
            if tp.topic == topic
        }
        return {tp: offsets for tp, offsets in unread.items() if offsets}
