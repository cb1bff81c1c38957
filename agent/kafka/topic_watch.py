"""Watches the agent's own topics: detects deleted, recreated and truncated ones.

Rules
-----
- Exact values need the frames and the series topic: frames not merged yet, and the state of every
  series. If one of them is deleted, created again or truncated, this process does not continue, and
  creates neither: it would publish other values under the same keys. Restarting the process allows
  it to start over.
- The other topics have no state. A deleted one is created again (`create_topics`), without its
  records. Every worker writes its rows of the board topic again.

A topic counts as created again if its id changed, and as truncated if the end offset of a partition
decreased. A finding counts if two checks in a row make it: a broker that has just started may not
know a topic yet, and a new leader may have an end offset that is slightly lower. Brokers before
Kafka 2.8 have no ids: there a topic that is created again between two checks, and is longer by the
next one, is not noticed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agent.errors import EnvironmentFault
from agent.kafka.placement import start_over
from agent.kafka.topic_ids import describe
from agent.kafka.topics import TopicNames
from agent.settings import Settings

log = logging.getLogger(__name__)

LOOK_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class TopicLog:
    """A topic at one check: its id ("": the broker has none), and the end offsets of its
    partitions."""

    topic_id: str
    ends: Mapping[int, int]

    def follows(self, before: TopicLog) -> bool:
        """Whether it is the same log as before, and not truncated."""
        if self.topic_id and before.topic_id and self.topic_id != before.topic_id:
            return False
        return all(self.ends.get(p, 0) >= end for p, end in before.ends.items())


Logs = Mapping[str, TopicLog]
"""By topic, only those that exist."""


FRAMES_LOST = "the frames that were not merged yet are gone"
SERIES_LOST = "the state of all series is gone"


class StateLost(EnvironmentFault):
    """Frames or state that exact values need are lost."""


@dataclass(frozen=True, slots=True)
class TopicChanges:
    """Changes of the agent's topics since an earlier check."""

    deleted: frozenset[str] = frozenset()
    recreated: frozenset[str] = frozenset()

    def __and__(self, other: TopicChanges) -> TopicChanges:
        return TopicChanges(self.deleted & other.deleted, self.recreated & other.recreated)


def changes_between(before: Logs, now: Logs) -> TopicChanges:
    """The changes between two checks."""
    both = before.keys() & now.keys()
    recreated = {topic for topic in both if not now[topic].follows(before[topic])}
    return TopicChanges(frozenset(before.keys() - now.keys()), frozenset(recreated))


def loss(names: TopicNames, changes: TopicChanges) -> str | None:
    """What was lost that exact values need, in words; None: nothing was."""
    problems = [
        f"topic {topic} was {what}: {lost}"
        for topic, lost in ((names.frames, FRAMES_LOST), (names.series, SERIES_LOST))
        for what, topics in (
            ("deleted", changes.deleted),
            ("created again or truncated", changes.recreated),
        )
        if topic in topics
    ]
    return "; ".join(problems) or None


class TopicWatch:
    """Remembers the agent's topics and their end offsets, while stages stop and start."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = TopicNames.of(settings)
        self._known: Logs = {}
        self._suspected = TopicChanges()
        self._lost: str | None = None

    def refuse_after_loss(self) -> None:
        """Raise StateLost if frames or state were lost since this process started."""
        if self._lost is not None:
            hint = start_over(self._settings, self._names.frames, self._names.series)
            raise StateLost(self._lost, hint)

    def see(self, logs: Logs) -> TopicChanges:
        """Note a check; returns the changes that it confirms. Raises StateLost."""
        changes = changes_between(self._known, logs)
        certain = changes & self._suspected
        self._suspected = changes
        doubtful = (changes.deleted | changes.recreated) - (certain.deleted | certain.recreated)
        self._known = {
            **logs, **{topic: self._known[topic] for topic in doubtful}
        }  # fmt: skip
        self._lost = self._lost or loss(self._names, certain)
        self.refuse_after_loss()
        for topic in sorted(certain.deleted):
            log.error("topic %s was deleted: its content is lost", topic)
        for topic in sorted(certain.recreated):
            log.warning("topic %s was created again or truncated: its content is lost", topic)
        return certain

    async def look(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> TopicChanges:
        """Check the topics; returns confirmed changes, none while no broker answers. Raises
        StateLost."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                logs = await topic_logs(admin, consumer, self._names)
        except (KafkaError, OSError, TimeoutError) as error:
            log.debug("the agent's topics could not be looked at: %r", error)
            return TopicChanges()
        return self.see(logs)


async def topic_logs(
    admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, names: TopicNames
) -> Logs:
    """The logs of the agent's topics that exist. `consumer` has no group. Raises KafkaError or
    OSError."""
    described = await describe(admin, names.configs())
    partitions = [
        TopicPartition(topic, partition)
        for topic, metadata in described.items()
        for partition in range(metadata.partitions)
    ]
    ends: dict[str, dict[int, int]] = {topic: {} for topic in described}
    if partitions:
        for tp, end in (await consumer.end_offsets(partitions)).items():
            ends[tp.topic][tp.partition] = end
    return {topic: TopicLog(described[topic].topic_id, ends[topic]) for topic in described}


def check_state_is_whole(settings: Settings, names: TopicNames, logs: Logs) -> None:
    """Raise StateLost if the frames or the series topic is missing and the other one has records.
    Called before missing topics are created."""
    for missing, other, lost in (
        (names.frames, names.series, FRAMES_LOST),
        (names.series, names.frames, SERIES_LOST),
    ):
        if missing not in logs and other in logs and any(logs[other].ends.values()):
            raise StateLost(
                f"topic {missing} is missing, and topic {other} has records: {lost}",
                start_over(settings, names.frames, names.series),
            )
