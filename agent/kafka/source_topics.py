"""What brokers say of the source topics while they are read: which exist, and by which id."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agent.errors import EnvironmentFault
from agent.kafka.topic_ids import describe
from agent.kafka.topics import producers_clocks

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_SECONDS = 1.0


async def existing(admin: AIOKafkaAdminClient) -> set[str] | None:
    """The topics that there are; None where no broker answers."""
    try:
        return set(await admin.list_topics())
    except (KafkaError, OSError, TimeoutError) as error:
        log.debug("the topics can't be listed: %r", error)
        return None


async def partition_counts(
    admin: AIOKafkaAdminClient, topic_ids: Mapping[str, Collection[str]]
) -> Mapping[str, int]:
    """How many partitions topics have now; a topic is left out where no broker says.

    `topic_ids` are, by topic, the ids under which its partitions are read here. Raises
    EnvironmentFault where a topic has another one: it was deleted and created again, so what was
    fetched of it may be of either log (docs/decisions/0028-gaps-and-recreated-topics.md).
    """
    if not topic_ids:
        return {}
    try:
        described = await asyncio.wait_for(describe(admin, topic_ids), ANSWER_TIMEOUT_SECONDS)
    except (KafkaError, OSError, TimeoutError) as error:
        log.debug("the source topics can't be described: %r", error)
        return {}
    for topic, metadata in described.items():
        for topic_id in topic_ids[topic]:
            if metadata.topic_id and topic_id not in ("", metadata.topic_id):
                raise EnvironmentFault(
                    f"topic {topic} was deleted and created again (its id was {topic_id} and is "
                    f"{metadata.topic_id})"
                )
    return {topic: metadata.partitions for topic, metadata in described.items()}


async def warn_of_producers_clocks(admin: AIOKafkaAdminClient, topics: Collection[str]) -> None:
    """Log which topics' records carry their producers' clocks, by which events are evaluated."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError):  # a hint is not worth a stop
        if stamped_by_producers := await producers_clocks(admin, topics):
            log.warning(
                "records of %s carry their producers' clocks (message.timestamp.type is "
                "CreateTime): a machine whose clock is wrong can send events of any time. With "
                "LogAppendTime, max_future and max_past hold by the brokers' clocks",
                ", ".join(stamped_by_producers),
            )
