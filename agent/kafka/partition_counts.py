"""Gets the numbers of partitions of source topics, which each flush sends to stage 2; with them,
which records are not read yet, in case their topic is deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from agent.core.fold.folder import Folder
from agent.core.fold.lookup_topics import LookupTopics
from agent.core.model.plan import Plan
from agent.kafka.source_consumer import SourceConsumer
from agent.kafka.source_topics import RecreatedTopicError, partition_counts
from agent.kafka.stage_events import IngestProgress
from agent.kafka.topic_subscription import TopicSubscription
from agent.kafka.topics import TopicNames

log = logging.getLogger(__name__)


class PartitionCounts:
    """Requests the numbers from the brokers; for new partitions or topics, makes the group
    rebalance and the subscription check again."""

    def __init__(
        self,
        admin: AIOKafkaAdminClient,
        consumer: SourceConsumer,
        subscription: TopicSubscription,
        plan: Plan,
        names: TopicNames,
        unread: UnreadRecords,
        lookups: LookupTopics,
        progress: IngestProgress,
    ) -> None:
        self._admin = admin
        self._consumer = consumer
        self._subscription = subscription
        self._plan = plan
        self._names = names
        self._unread = unread
        self._lookups = lookups
        self._progress = progress
        self._counts: dict[str, int] = {}  # as last seen

    async def now(self, folders: Mapping[str, Folder]) -> Mapping[str, int]:
        """The number of partitions of each topic, after the records of this flush were fetched. So
        stage 2 waits for new topics and partitions even before the group has assigned them
        (docs/decisions/0026-partitions-that-are-added.md).

        Raises RecreatedTopicError, after reporting unread records of the old log."""
        ids = {
            topic: {source.topic_id for source in folder.sources.values()}
            for topic, folder in folders.items()
            if folder.sources
        }
        known = {topic: self._consumer.partition_count(topic) for topic in ids}
        partitions = [TopicPartition(t, p) for t, folder in folders.items() for p in folder.sources]
        ends = {tp: end for tp in partitions if (end := self._consumer.end(tp))}
        try:
            # Without sources there are no joins, and no request is needed.
            looked_up = {topic: {i} for topic, i in self._lookups.ids.items()} if ids else {}
            now = await partition_counts(self._admin, self._plan, self._names, looked_up | ids)
        except RecreatedTopicError as error:
            self._miss_unread(error.topic)
            raise
        self._unread.ended({tp: end for tp, end in ends.items() if tp.topic in now})
        if any(now.get(topic, 0) > count for topic, count in known.items()):
            self._consumer.rejoin()
        subscribed = self._subscription.topics
        if not now.keys() <= subscribed:
            self._subscription.check_now()
        # A topic counts while it is subscribed to: a broker may not know one for a moment.
        last = {topic: count for topic, count in self._counts.items() if topic in subscribed}
        self._counts = {**last, **now}
        return {**self._counts, **{t: max(count, now.get(t, 0)) for t, count in known.items()}}

    def _miss_unread(self, topic: str) -> None:
        """Report unread records of a deleted topic."""
        for tp, offsets in self._unread.of_topic(topic).items():
            log.error(
                "topic %s partition %d was deleted, and created again, before offsets %d to %d of "
                "it were read (at least %d records). Windows that may lack them are marked as "
                "incomplete",
                tp.topic, tp.partition, offsets[0], offsets[-1], len(offsets),
            )  # fmt: skip
            self._progress.missed(tp.topic, tp.partition, len(offsets))


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
