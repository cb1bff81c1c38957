"""What happens to the agent's own topics while it runs, and what is done about it.

Rules
-----
- The frames and the series topic hold what exact values need: frames not merged yet, and the state
  of every series. Where one of them is deleted, created again or cut short, no worker of this
  process goes on, and none of the two is created: values published under the same keys would be
  other values. That holds until the process is started again, which is how somebody says that it
  may start over.
- The other topics hold no state. One that is deleted is created again (`create_topics`), and what
  it held is gone. The rows of the board topic are written again by every worker.

A topic counts as created again when its id is another one, and as truncated when one of its
partitions ends before where it once ended. A finding counts when it is made twice in a row: a
broker that has just started may not know a topic yet, and a new leader may answer with an end that
is a little behind. Brokers before Kafka 2.8 give no ids: there a topic that is created again
between two looks, and has outgrown the old one by the next, is not noticed.
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
from agent.kafka.topic_ids import describe
from agent.kafka.topics import TopicNames
from agent.settings import Settings

log = logging.getLogger(__name__)

LOOK_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class TopicLog:
    """A topic as it was looked at: its id ("": the broker gives none), and where each of its
    partitions ends."""

    topic_id: str
    ends: Mapping[int, int]

    def follows(self, before: TopicLog) -> bool:
        """Whether it is the log that was looked at before, and nothing of it is gone."""
        if self.topic_id and before.topic_id and self.topic_id != before.topic_id:
            return False
        return all(self.ends.get(p, 0) >= end for p, end in before.ends.items())


Logs = Mapping[str, TopicLog]
"""By topic. One that does not exist is not in it."""


class StateLost(EnvironmentFault):
    """Frames or state are gone that exact values need."""


@dataclass(frozen=True, slots=True)
class TopicChanges:
    """What happened to the agent's topics since they were looked at before."""

    deleted: frozenset[str] = frozenset()
    recreated: frozenset[str] = frozenset()

    def __and__(self, other: TopicChanges) -> TopicChanges:
        return TopicChanges(self.deleted & other.deleted, self.recreated & other.recreated)


def changes_between(before: Logs, now: Logs) -> TopicChanges:
    """What happened between two looks at the same topics."""
    both = before.keys() & now.keys()
    recreated = {topic for topic in both if not now[topic].follows(before[topic])}
    return TopicChanges(frozenset(before.keys() - now.keys()), frozenset(recreated))


def loss(names: TopicNames, changes: TopicChanges) -> str | None:
    """What was lost that exact values need, in words; None: nothing."""
    problems = [
        f"topic {topic} was {what}: {holds}"
        for topic, holds in (
            (names.frames, "the frames that were not merged yet are gone"),
            (names.series, "the state of all series is gone"),
        )
        for what, topics in (
            ("deleted", changes.deleted),
            ("created again or truncated", changes.recreated),
        )
        if topic in topics
    ]
    return "; ".join(problems) or None


def remedy(settings: Settings, names: TopicNames) -> str:
    """What to do where state was lost."""
    return (
        "Stop all agents, delete both topics (kafka-topics.sh --bootstrap-server "
        f"{settings.brokers} --delete --topic '{names.frames}|{names.series}') and start again: "
        "windows that are open begin with what was not read yet, and so do alerts and what rules "
        "look back on. docs/exactness.md says what holds then."
    )


class TopicWatch:
    """Remembers the agent's topics, and how far they reached, over all lives of the stages."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = TopicNames.of(settings)
        self._known: Logs = {}
        self._suspected = TopicChanges()
        self._lost: str | None = None

    def refuse_after_loss(self) -> None:
        """Raise StateLost once frames or state were lost in the life of this process."""
        if self._lost is not None:
            raise StateLost(self._lost, remedy(self._settings, self._names))

    def see(self, logs: Logs) -> TopicChanges:
        """What is known to have happened, by the topics as they are now. Raises StateLost."""
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
        """What happened since the last look; while no broker answers, nothing that is known of.
        Raises StateLost."""
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
    """Those of the agent's topics that exist. `consumer` is in no group. Raises KafkaError or
    OSError where not all can be had."""
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
    """Raise StateLost where one of the topics of frames and series is missing and the other one
    has records: before a missing one is created."""
    for missing, other, lost in (
        (names.frames, names.series, "the frames that were not merged yet are gone"),
        (names.series, names.frames, "the state of all series is gone"),
    ):
        if missing not in logs and other in logs and any(logs[other].ends.values()):
            raise StateLost(
                f"topic {missing} is missing, and topic {other} has records: {lost}",
                remedy(settings, names),
            )
