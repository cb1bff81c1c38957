"""Finds the source topics that exist, with their ids and numbers of partitions.

Topics are named by contracts, or match a pattern of one (`agent.core.model.events.Topics`). No
pattern matches a topic that the agent writes, or one that begins with `__`, as Kafka's internal
topics do: `__consumer_offsets`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable, Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault
from agent.kafka.topic_ids import describe
from agent.kafka.topics import TopicNames, producers_clocks

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_SECONDS = 1.0
INTERNAL = "__"


def source_topics(plan: Plan, names: TopicNames, there: Iterable[str]) -> list[str]:
    """The source topics among `there`, existing topics. Raises EnvironmentFault if contracts read
    one in different formats, which can't be checked before for patterns."""
    own, named = names.configs().keys(), frozenset(plan.topics)
    topics = []
    for topic in sorted(there):
        is_candidate = topic in named or not (topic.startswith(INTERNAL) or topic in own)
        contracts = plan.contracts_of(topic) if is_candidate else ()
        if len({(contract.format, contract.schema) for contract in contracts}) > 1:
            raise EnvironmentFault(
                f"topic {topic} is read in different formats by the events "
                + ", ".join(contract.name for contract in contracts),
                "The records of a topic have one format: narrow the patterns of their topics.",
            )
        if contracts:
            topics.append(topic)
    return topics


def unmatched(plan: Plan, topics: Collection[str]) -> list[str]:
    """The topics and patterns of contracts that match none of these topics."""
    missing = [topic for topic in plan.topics if topic not in topics]
    patterns = {c.topics for c in plan.contracts.values() if c.topics.pattern is not None}
    return missing + sorted(
        str(pattern) for pattern in patterns if not any(topic in pattern for topic in topics)
    )


async def existing(admin: AIOKafkaAdminClient) -> set[str] | None:
    """All existing topics; None if no broker answers."""
    try:
        return set(await admin.list_topics())
    except (KafkaError, OSError, TimeoutError) as error:
        log.debug("the topics can't be listed: %r", error)
        return None


class RecreatedTopicError(EnvironmentFault):
    """A topic was deleted and created again while it was read."""

    def __init__(self, topic: str, old_id: str, new_id: str) -> None:
        super().__init__(
            f"topic {topic} was deleted and created again (its id was {old_id} and is {new_id})"
        )
        self.topic = topic


async def partition_counts(
    admin: AIOKafkaAdminClient,
    plan: Plan,
    names: TopicNames,
    topic_ids: Mapping[str, Collection[str]],
) -> Mapping[str, int]:
    """The number of partitions of each source topic; empty if no broker answers.

    `topic_ids`: by topic, the ids of the logs that are read here, lookup topics included. Raises
    RecreatedTopicError if a topic has another id: it was deleted and created again, so fetched
    records may be of either log
    (docs/decisions/0028-gaps-and-recreated-topics.md).
    """
    if not topic_ids:
        return {}
    shared = {t for c in plan.contracts.values() if not c.topics.is_one for t in c.topics.names}
    wanted = None if plan.has_patterns else shared | topic_ids.keys()
    try:
        described = await asyncio.wait_for(describe(admin, wanted), ANSWER_TIMEOUT_SECONDS)
    except (KafkaError, OSError, TimeoutError) as error:
        log.debug("the source topics can't be described: %r", error)
        return {}
    for topic, metadata in described.items():
        for topic_id in topic_ids.get(topic, ()):
            if metadata.topic_id and topic_id not in ("", metadata.topic_id):
                raise RecreatedTopicError(topic, topic_id, metadata.topic_id)
    return {t: described[t].partitions for t in source_topics(plan, names, described)}


async def warn_of_producers_clocks(admin: AIOKafkaAdminClient, topics: Collection[str]) -> None:
    """Warn of topics whose records have timestamps of their producers' clocks."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError):  # a hint is not worth a stop
        if stamped_by_producers := await producers_clocks(admin, topics):
            log.warning(
                "records of %s carry their producers' clocks (message.timestamp.type is "
                "CreateTime): a producer with a wrong clock can send events of any time. With "
                "LogAppendTime, max_future and max_past are checked by the brokers' clocks",
                ", ".join(stamped_by_producers),
            )
