"""Checks that topics accept messages as large as the agent sends.

| messages | size | with a smaller limit of the topic |
|---|---|---|
| frames, rows of the state | cut to `MAX_FRAME_BYTES`, `MAX_ROW_BYTES` | refused at the start |
| values, alerts, rows of the board | batches of `PRODUCER_BATCH_BYTES` | refused at the start |
| dead letters, late records | as in the source topic | truncated (`side_outputs`); a warning |

So the limit must be at least `LEAST_BYTES`, a quarter of Kafka's default.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agent.errors import EnvironmentFault
from agent.kafka.topics import TopicNames, config_values

log = logging.getLogger(__name__)

LEAST_BYTES = 262_144
"""More than the agent sends in a message, with room for keys and headers."""
SETTING = "max.message.bytes"


async def limits_of(admin: AIOKafkaAdminClient, topics: Collection[str]) -> Mapping[str, int]:
    """The largest message of each topic (bytes), where this user may read its configuration."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        values, _ = await config_values(admin, topics, SETTING)
        return {topic: int(value) for topic, value in values.items() if value.isdigit()}
    return {}


async def check_own_topics(admin: AIOKafkaAdminClient, names: TopicNames) -> None:
    """Raises EnvironmentFault if the limit of one of the agent's topics is too small."""
    written_whole = set(names.configs()) - {names.dead_letters, names.late}
    refuse_small(await limits_of(admin, sorted(written_whole)))


def refuse_small(limits: Mapping[str, int]) -> None:
    """Raises EnvironmentFault for topics with too small a limit."""
    small = {topic: limit for topic, limit in limits.items() if limit < LEAST_BYTES}
    if small:
        named = ", ".join(f"{topic} ({SETTING}={limit})" for topic, limit in sorted(small.items()))
        raise EnvironmentFault(
            f"the agent sends messages of up to {LEAST_BYTES} bytes, and these topics accept less: "
            f"{named}",
            "\n".join(
                f"kafka-configs.sh --alter --topic {topic} --add-config {SETTING}={LEAST_BYTES}"
                for topic in sorted(small)
            ),
        )


async def warn_of_larger_records(
    admin: AIOKafkaAdminClient, names: TopicNames, topics: Collection[str]
) -> None:
    """Warn of source topics with larger records than the topics of dead letters and late records
    accept."""
    if topics:
        outputs = (names.dead_letters, names.late)
        limits = await limits_of(admin, [*topics, *outputs])
        for warning in larger_records(limits, topics, outputs):
            log.warning("%s", warning)


def larger_records(
    limits: Mapping[str, int], sources: Collection[str], outputs: Collection[str]
) -> list[str]:
    """Warnings of source topics with a higher limit than an output topic."""
    return [
        f"topic {source} takes records of {limits[source]} bytes, and topic {output} of "
        f"{limits[output]}: larger ones are cut there. Raise {SETTING} of topic {output}"
        for source in sorted(sources)
        for output in outputs
        if source in limits and output in limits and limits[source] > limits[output]
    ]
