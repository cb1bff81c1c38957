"""Whether topics take messages as large as the agent sends.

| what is sent | how large | what a topic that takes less costs |
|---|---|---|
| frames, rows of the state | cut to `MAX_FRAME_BYTES`, `MAX_ROW_BYTES` | refused at the start |
| values, alerts, rows of the board | batches of `PRODUCER_BATCH_BYTES` | refused at the start |
| dead letters, late records | as the source topic takes them | cut (`side_outputs`); a warning |

So every topic that takes `LEAST_BYTES` serves. It is a quarter of Kafka's default.
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
"""Above what is sent at once, with room for keys and headers."""
SETTING = "max.message.bytes"


async def limits_of(admin: AIOKafkaAdminClient, topics: Collection[str]) -> Mapping[str, int]:
    """The largest message of each topic (bytes), where this user may read its configuration."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        values, _ = await config_values(admin, topics, SETTING)
        return {topic: int(value) for topic, value in values.items() if value.isdigit()}
    return {}


async def check_own_topics(admin: AIOKafkaAdminClient, names: TopicNames) -> None:
    """Raises EnvironmentFault where one of the agent's topics takes too little."""
    written_whole = set(names.configs()) - {names.dead_letters, names.late}
    refuse_small(await limits_of(admin, sorted(written_whole)))


def refuse_small(limits: Mapping[str, int]) -> None:
    """Raises EnvironmentFault for topics that take less than the agent sends."""
    small = {topic: limit for topic, limit in limits.items() if limit < LEAST_BYTES}
    if small:
        named = ", ".join(f"{topic} ({SETTING}={limit})" for topic, limit in sorted(small.items()))
        raise EnvironmentFault(
            f"the agent sends messages of up to {LEAST_BYTES} bytes, and these topics take less: "
            f"{named}",
            "\n".join(
                f"kafka-configs.sh --alter --topic {topic} --add-config {SETTING}={LEAST_BYTES}"
                for topic in sorted(small)
            ),
        )


async def warn_of_larger_records(
    admin: AIOKafkaAdminClient, names: TopicNames, topics: Collection[str]
) -> None:
    """Log which source topics take records that the topics of dead letters and late records do not
    take whole."""
    if topics:
        outputs = (names.dead_letters, names.late)
        limits = await limits_of(admin, [*topics, *outputs])
        for warning in larger_records(limits, topics, outputs):
            log.warning("%s", warning)


def larger_records(
    limits: Mapping[str, int], sources: Collection[str], outputs: Collection[str]
) -> list[str]:
    """In words, which source topics take larger records than an output takes."""
    return [
        f"topic {source} takes records of {limits[source]} bytes, and topic {output} of "
        f"{limits[output]}: larger ones are cut there. Raise {SETTING} of topic {output}"
        for source in sorted(sources)
        for output in outputs
        if source in limits and output in limits and limits[source] > limits[output]
    ]
