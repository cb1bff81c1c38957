"""Checks that the number of state partitions is the one that the state was written with.

The state partition of a series is a hash modulo that number. After a change of it, rows of the
series topic and frames in flight would be in the wrong partitions, and values would be silently
wrong. So the agent refuses to run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agent.errors import EnvironmentFault
from agent.kafka.client import new_reader, running
from agent.kafka.topic_ids import describe
from agent.settings import Settings

log = logging.getLogger(__name__)

FIRST_FLUSH_SECONDS = 5.0
"""A worker that has just started may have sent its first frames to some partitions only."""


async def check_placement(
    settings: Settings, frames: str, series: str, counts: Mapping[str, int]
) -> int:
    """The number of state partitions. `counts`: the partitions of both topics.

    Raises EnvironmentFault where the topics have different numbers of partitions, or another number
    than the frames were sent to so far, or than the setting says.
    """
    count = counts[frames]
    both = f"{frames} and {series}"
    if count != counts[series]:
        raise EnvironmentFault(
            f"topic {frames} has {count} partitions and {series} has {counts[series]}: they must "
            "have equally many",
            start_over(settings, frames, series),
        )
    used = await _sent_to(settings, frames, count)
    if 0 < len(used) < count:
        raise EnvironmentFault(
            f"topics {both} have {count} partitions, but frames were sent to {len(used)} of them "
            f"only: partitions were added, and the state is placed by {len(used)}",
            start_over(settings, frames, series),
        )
    if settings.create_topics and count != settings.state_partitions:
        raise EnvironmentFault(
            f"the setting state_partitions says {settings.state_partitions}, but topics {both} "
            f"have {count} partitions, and the state is placed by them",
            f"Set state_partitions: {count}. To change the number: "
            + start_over(settings, frames, series),
        )
    return count


async def has_changed(
    admin: AIOKafkaAdminClient, frames: str, series: str, state_partitions: int
) -> bool:
    """Whether a topic has another number of partitions now. A broker that does not answer, or a
    topic that is not there, has changed nothing."""
    try:
        described = await describe(admin, [frames, series])
    except (KafkaError, OSError):
        return False
    now = {topic: metadata.partitions for topic, metadata in described.items()}
    other = {topic: count for topic, count in now.items() if count != state_partitions}
    for topic, count in other.items():
        log.error("topic %s now has %d partitions, not %d", topic, count, state_partitions)
    return bool(other)


def start_over(settings: Settings, frames: str, series: str) -> str:
    """The hint if the agent can't continue with its state."""
    return (
        "Stop all agents, delete both topics (kafka-topics.sh --bootstrap-server "
        f"{settings.brokers} --delete --topic '{frames}|{series}') and start again: windows that "
        "are open begin with what was not read yet, and so do alerts and what rules look back on. "
        "docs/exactness.md says what holds then, docs/scaling.md how to change the number of "
        "partitions without a loss."
    )


async def _sent_to(settings: Settings, frames: str, count: int) -> list[int]:
    """The partitions that frames were ever sent to: a flush sends one to every partition, and end
    offsets remain when records are deleted by age."""
    partitions = [TopicPartition(frames, p) for p in range(count)]
    async with running(new_reader(settings)) as consumer:
        deadline = asyncio.get_running_loop().time() + FIRST_FLUSH_SECONDS
        while True:
            ends = await consumer.end_offsets(partitions)
            used = [tp.partition for tp in partitions if ends[tp] > 0]
            timed_out = asyncio.get_running_loop().time() > deadline
            if len(used) in (0, count) or timed_out:
                return used
            await asyncio.sleep(0.5)
