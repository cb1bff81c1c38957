"""Reads the topics of lookups to their ends, before events are joined with them.

Every worker reads all of them, without a consumer group. Rows that were in a lookup topic before an
event was fetched are read before the event is folded; the positions at which a batch was joined are
part of its commit (`agent.core.fold.lookup_steps`). So a restart needs rows that were superseded
since the committed offset: the topic must be configured to keep them, which is checked first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from agent.core.fold.lookup_topics import LogPartition, LookupReject, LookupTopics
from agent.core.model.plan import Plan
from agent.core.model.text import duration
from agent.core.model.windows import MAX_SLICE_MS
from agent.errors import EnvironmentFault
from agent.kafka.batch_fetch import enable_batch_fetch
from agent.kafka.client import new_admin, new_reader, running
from agent.kafka.fetched import Fetched, make_batch
from agent.kafka.topic_ids import describe
from agent.kafka.topic_reader import fetch_to
from agent.kafka.topics import config_values
from agent.settings import Settings

log = logging.getLogger(__name__)

MAX_POLL_RECORDS = 20_000
MOST_PARTITIONS = 64
"""Of all lookup topics: a commit's metadata has the position of each."""

Partitions = Mapping[str, int]
"""How many partitions topics have."""


class LookupReader:
    """Reads the lookup topics of a plan into `topics`. `report` is called with the number of
    record keys without a readable row, by lookup, where one was read."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        report: Callable[[Mapping[str, int]], None] = lambda unreadable: None,
    ) -> None:
        self.topics = LookupTopics(plan.lookups)
        self._settings = settings
        self._plan = plan
        self._report = report
        self._consumer: AIOKafkaConsumer | None = None
        self._assigned: list[TopicPartition] = []
        self._lock = asyncio.Lock()

    async def start(self, admin: AIOKafkaAdminClient) -> None:
        """Connect, and read the topics to their ends. Raises EnvironmentFault if a topic does not
        exist, or may lose rows that are still needed."""
        if not self.topics.topics:
            return
        described = await describe(admin, sorted(self.topics.topics))
        partitions = {topic: metadata.partitions for topic, metadata in described.items()}
        for topic in self.topics.topics:
            if topic not in partitions:
                raise EnvironmentFault(
                    f"the lookup topic {topic} does not exist",
                    f"kafka-topics.sh --create --topic {topic} --config cleanup.policy=compact",
                )
        if sum(partitions.values()) > MOST_PARTITIONS:
            raise EnvironmentFault(
                f"the lookup topics {', '.join(partitions)} have {sum(partitions.values())} "
                f"partitions, and at most {MOST_PARTITIONS} can be read",
                "A table of some millions of rows needs one.",
            )
        await check_retention(admin, self._plan)
        self.topics.ids = {topic: metadata.topic_id for topic, metadata in described.items()}
        self._consumer = new_reader(self._settings, name="lookups")
        await self._consumer.start()
        enable_batch_fetch(self._consumer)
        self._assign(self._consumer, partitions)
        await self.catch_up(self.topics.topics)
        self._report(self.topics.unreadable())
        log.info("lookup topics: read %s", ", ".join(sorted(self.topics.topics)))

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def catch_up(self, topics: Collection[str]) -> None:
        """Read topics up to where they end now: `topics.position` then covers at least what was
        written before the call."""
        if not topics or self._consumer is None:
            return
        async with self._lock:
            consumer = self._consumer
            self._assign(consumer, {t: len(consumer.partitions_for_topic(t) or ()) for t in topics})
            ends = await consumer.end_offsets([tp for tp in self._assigned if tp.topic in topics])
            behind = {tp: end for tp, end in ends.items() if self._position(tp) < end}
            async for fetched in fetch_to(consumer, behind, MAX_POLL_RECORDS):
                await self._add(fetched)
                for tp in behind:
                    self.topics.advance({self._log_partition(tp): await consumer.position(tp)})

    def _position(self, tp: TopicPartition) -> int:
        return self.topics.position.get(self._log_partition(tp), 0)

    def _log_partition(self, tp: TopicPartition) -> LogPartition:
        return self.topics.log_partition(tp.topic, tp.partition)

    def _assign(self, consumer: AIOKafkaConsumer, partitions: Partitions) -> None:
        """Assign all partitions, including added ones, at the positions that they were read to."""
        wanted = {TopicPartition(t, p) for t, count in partitions.items() for p in range(count)}
        if not wanted.difference(self._assigned):
            return
        self._assigned = sorted(wanted.union(self._assigned))
        consumer.assign(self._assigned)
        for tp in self._assigned:
            if known := self._position(tp):
                consumer.seek(tp, known)
            else:
                self.topics.advance({self._log_partition(tp): 0})

    async def _add(self, fetched: Mapping[TopicPartition, Fetched]) -> None:
        rejects: list[LookupReject] = []
        for tp, records in fetched.items():
            if records:
                batch = make_batch(tp.topic, [(tp.partition, records)])
                rejects += await asyncio.to_thread(self.topics.add, batch)
        if any(fetched.values()):
            self._report(self.topics.unreadable())
        if rejects:
            first = rejects[0]
            log.warning(
                "lookup %s: %d records can't be read, and their keys have no row from then on. "
                "The first: partition %d, offset %d: %s",
                first.lookup, len(rejects), first.partition, first.offset, first.detail,
            )  # fmt: skip


async def read_lookups(settings: Settings, plan: Plan) -> LookupTopics:
    """Read the lookup topics to their ends. Raises EnvironmentFault as `LookupReader.start`
    does."""
    reader = LookupReader(settings, plan)
    if reader.topics.topics:
        async with running(new_admin(settings)) as admin:
            try:
                await reader.start(admin)
            finally:
                await reader.stop()
    return reader.topics


def needed_ms(plan: Plan, topic: str) -> int:
    """How long (ms) a superseded row of a lookup topic is needed: by as much, an event that counts
    may be older than the newest one that was read."""
    needs = [0]
    for contract in plan.contracts.values():
        sources = (plan.lookups[field.lookup].topic for field in contract.lookups)
        if not any(source is not None and source.name == topic for source in sources):
            continue
        longest = max((kpi.window.span_ms for kpi in plan.kpis_of(contract.name)), default=0)
        oldest = longest if contract.max_past_ms is None else min(longest, contract.max_past_ms)
        needs.append(oldest + contract.lateness_ms + contract.duplicate_window_ms + MAX_SLICE_MS)
    return max(needs)


async def check_retention(admin: AIOKafkaAdminClient, plan: Plan) -> None:
    """Check that lookup topics keep rows for as long as they are needed. Raises EnvironmentFault
    where compaction may delete them earlier; warns where that is unknown, or where rows expire."""
    topics = {lookup.topic.name for lookup in plan.lookups.values() if lookup.topic is not None}
    policies, warnings = await config_values(admin, topics, "cleanup.policy")
    lags, _ = await config_values(admin, topics, "min.compaction.lag.ms")
    for topic, policy in policies.items():
        needed = needed_ms(plan, topic)
        if "compact" in policy and int(lags.get(topic) or 0) < needed:
            raise EnvironmentFault(
                f"the lookup topic {topic} has min.compaction.lag.ms={lags.get(topic) or 0}: rows "
                f"that were replaced may be deleted while events of the last {duration(needed)} "
                "still need them",
                f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} "
                f"--add-config min.compaction.lag.ms={needed}",
            )
        if "delete" in policy:
            warnings.append(
                f"the lookup topic {topic} has cleanup.policy={policy}: rows expire with its "
                "retention, and are missing after the next start. Compaction keeps them: "
                "cleanup.policy=compact"
            )
    for warning in warnings:
        log.warning("%s", warning)
