"""Subscribes a consumer to the source topics: those that exist, and the others as they appear."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient

from agent.kafka.message_sizes import warn_of_larger_records
from agent.kafka.source_consumer import OnRebalance, SourceConsumer
from agent.kafka.source_topics import existing, warn_of_producers_clocks
from agent.kafka.stage_events import IngestProgress
from agent.kafka.topics import TopicNames

CHECK_SECONDS = 5.0
FIRST_CHECK_SECONDS = 0.2


class TopicSubscription:
    """The subscription to the topics that the rules name. Rebalances call the two callbacks."""

    def __init__(
        self,
        admin: AIOKafkaAdminClient,
        consumer: SourceConsumer,
        topics: Sequence[str],
        names: TopicNames,
        progress: IngestProgress,
        on_revoked: OnRebalance,
        on_assigned: OnRebalance,
    ) -> None:
        self._admin = admin
        self._consumer = consumer
        self._topics = topics
        self._names = names
        self._progress = progress
        self._on_revoked = on_revoked
        self._on_assigned = on_assigned
        self._subscribed: tuple[str, ...] = ()

    async def run(self) -> None:
        """Look for topics that appear, until cancelled."""
        while True:
            existing_topics = await existing(self._admin)
            if existing_topics is not None:
                await self._subscribe(existing_topics)
            await asyncio.sleep(CHECK_SECONDS if self._subscribed else FIRST_CHECK_SECONDS)

    async def _subscribe(self, existing_topics: set[str]) -> None:
        self._progress.missing_topics([t for t in self._topics if t not in existing_topics])
        # One that was deleted stays subscribed: it may be created again.
        readable = existing_topics.union(self._subscribed)
        topics = tuple(t for t in self._topics if t in readable)
        if topics == self._subscribed:
            return
        added = set(topics).difference(self._subscribed)
        await warn_of_producers_clocks(self._admin, added)
        await warn_of_larger_records(self._admin, self._names, added)
        self._consumer.subscribe(topics, self._on_revoked, self._on_assigned)
        self._subscribed = topics
