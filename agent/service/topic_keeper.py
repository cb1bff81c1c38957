"""Creates the agent's own topics where they are missing, and watches them while the agent runs."""

from __future__ import annotations

import asyncio
import logging

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from agent.kafka.message_sizes import check_own_topics
from agent.kafka.placement import has_changed
from agent.kafka.topic_watch import TopicWatch, check_state_is_whole, topic_logs
from agent.kafka.topics import TopicNames, create_missing, ensure
from agent.service.status import BROKER, StatusReporter
from agent.service.tasks import pause
from agent.settings import Settings

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0


class TopicKeeper:
    """The agent's topics, while stages stop and start."""

    def __init__(self, settings: Settings, status: StatusReporter) -> None:
        self._settings = settings
        self._status = status
        self._names = TopicNames.of(settings)
        self._watch = TopicWatch(settings)

    async def ensure(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> int:
        """Create missing topics and check all of them; returns the number of state partitions.
        Raises EnvironmentFault, among them StateLost."""
        self._watch.refuse_after_loss()
        logs = await topic_logs(admin, consumer, self._names)
        check_state_is_whole(self._settings, self._names, logs)
        state_partitions, warnings = await ensure(admin, self._settings)
        for warning in warnings:
            log.warning("%s", warning)
        await check_own_topics(admin, self._names)
        self._watch.see(await topic_logs(admin, consumer, self._names))
        return state_partitions

    async def watch(
        self,
        admin: AIOKafkaAdminClient,
        consumer: AIOKafkaConsumer,
        state_partitions: int,
        stopping: asyncio.Event,
    ) -> None:
        """Create deleted topics again, if they hold no state. Sets `stopping` if the board has to
        be written again, or the number of state partitions was changed, which the next run refuses.
        Raises StateLost."""
        names = self._names
        while not await pause(stopping, CHECK_SECONDS):
            if await has_changed(admin, names.frames, names.series, state_partitions):
                stopping.set()
                return
            changes = await self._watch.look(admin, consumer)
            if changes.deleted:
                await self._create_again(admin, changes.deleted)
            if names.board in changes.deleted | changes.recreated:
                log.info("writing all rows of topic %s again", names.board)
                stopping.set()

    async def _create_again(self, admin: AIOKafkaAdminClient, deleted: frozenset[str]) -> None:
        """Create topics that were deleted and hold no state, where the agent may."""
        topics = ", ".join(sorted(deleted))
        if not self._settings.create_topics:
            self._status.waiting(BROKER, f"deleted while running: {topics}; create them again")
            return
        self._status.waiting(BROKER, f"deleted while running: {topics}; creating them again")
        await create_missing(admin, self._settings, self._names)
        self._status.waiting(BROKER, None)
        log.info("created again: %s", topics)
