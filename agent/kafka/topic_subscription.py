"""Subscribes a consumer to the source topics that exist, and to others as they appear."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence, Set

from aiokafka.admin import AIOKafkaAdminClient

from agent.core.model.plan import Plan
from agent.kafka.message_sizes import warn_of_larger_records
from agent.kafka.source_consumer import SourceConsumer
from agent.kafka.source_topics import (
    existing,
    source_topics,
    unmatched,
    warn_of_producers_clocks,
)
from agent.kafka.stage_events import IngestProgress
from agent.kafka.topics import TopicNames

CHECK_SECONDS = 5.0
FIRST_CHECK_SECONDS = 0.2
MOST_MISSED = 2
"""Consecutive checks in which a topic may be missing: a broker that has just started may not know
it yet. After one more it counts as deleted."""


class TopicSubscription:
    """The subscription to the topics that events are read from."""

    def __init__(
        self,
        admin: AIOKafkaAdminClient,
        consumer: SourceConsumer,
        plan: Plan,
        names: TopicNames,
        progress: IngestProgress,
    ) -> None:
        self._admin = admin
        self._consumer = consumer
        self._plan = plan
        self._names = names
        self._progress = progress
        self._missed: dict[str, int] = {}  # the topics, and in how many checks each was missing
        self._has_news = asyncio.Event()

    @property
    def topics(self) -> Set[str]:
        """The topics that are subscribed to, or just about to be."""
        return self._missed.keys()

    def check_now(self) -> None:
        """Check at once: there is a topic that is not subscribed to."""
        self._has_news.set()

    async def run(self) -> None:
        """Subscribe to topics as they appear, until cancelled. Raises EnvironmentFault."""
        while True:
            self._has_news.clear()
            existing_topics = await existing(self._admin)
            if existing_topics is not None:
                await self._subscribe(source_topics(self._plan, self._names, existing_topics))
            with contextlib.suppress(TimeoutError):
                seconds = CHECK_SECONDS if self._missed else FIRST_CHECK_SECONDS
                await asyncio.wait_for(self._has_news.wait(), seconds)

    async def _subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe to existing topics, and to those that existed in the last checks."""
        self._progress.source_topics(topics, unmatched(self._plan, topics))
        before, missed = self._missed, dict.fromkeys(topics, 0)
        for topic, times in before.items():
            if topic not in missed and (times < MOST_MISSED or self._is_sole(topic)):
                missed[topic] = times + 1
        self._missed = missed or before
        if missed.keys() in (before.keys(), set()):
            return
        added = missed.keys() - before.keys()
        await warn_of_producers_clocks(self._admin, added)
        await warn_of_larger_records(self._admin, self._names, added)
        self._consumer.subscribe(sorted(missed))

    def _is_sole(self, topic: str) -> bool:
        """Whether a contract has no other topic. One that was deleted stays subscribed: it may be
        created again."""
        return any(contract.topics.is_one for contract in self._plan.contracts_of(topic))
