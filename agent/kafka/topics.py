"""The topics that the agent writes: their names, creation and checks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from agent.errors import EnvironmentFault
from agent.kafka.placement import check_placement
from agent.kafka.topic_ids import describe
from agent.settings import Settings

DAY_MS = 24 * 3_600_000
MOST_REPLICAS = 3
APPEAR_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The names of the topics that the agent writes."""

    frames: str
    series: str
    board: str
    dead_letters: str
    late: str
    values: str
    alerts: str

    @classmethod
    def of(cls, settings: Settings) -> TopicNames:
        """The names by the settings."""
        prefix = settings.topic_prefix
        return cls(
            frames=settings.frames_topic or f"{prefix}-frames",
            series=settings.series_topic or f"{prefix}-series",
            board=settings.board_topic or f"{prefix}-board",
            dead_letters=settings.dead_letters_topic or f"{prefix}-dead-letters",
            late=settings.late_topic or f"{prefix}-late",
            values=settings.values_topic,
            alerts=settings.alerts_topic,
        )

    def configs(self) -> Mapping[str, Mapping[str, str]]:
        """The configuration of each topic, if the agent creates it.

        Frames are read again only for unfinished slices: three days leave time to mend an outage
        over a weekend. Topics that people read are kept for a month.
        """
        compact = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.3"}
        month = {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)}
        frames = {"cleanup.policy": "delete", "retention.ms": str(3 * DAY_MS)}
        return {
            self.frames: frames,
            self.series: compact,
            self.board: compact,
            self.dead_letters: month,
            self.late: month,
            self.values: month,
            self.alerts: month,
        }


async def ensure(admin: AIOKafkaAdminClient, settings: Settings) -> tuple[int, list[str]]:
    """Create missing topics, and check all of them.

    Returns the number of state partitions, and warnings. Raises EnvironmentFault if a topic can't
    be created or can't be used.
    """
    names = TopicNames.of(settings)
    created = await create_missing(admin, settings, names) if settings.create_topics else []
    counts = await _partition_counts(admin, settings, list(names.configs()), created)
    count = await check_placement(settings, names.frames, names.series, counts)
    warnings = await _check_policies(admin, names) if settings.create_topics else []
    return count, warnings


async def create_missing(
    admin: AIOKafkaAdminClient, settings: Settings, names: TopicNames
) -> list[str]:
    """Create missing topics; returns their names."""
    there = set(await admin.list_topics())
    brokers = len((await admin.describe_cluster())["brokers"])
    replicas = settings.replication_factor or min(MOST_REPLICAS, brokers)
    missing = [
        NewTopic(name, settings.state_partitions, replicas, topic_configs=dict(config))
        for name, config in names.configs().items()
        if name not in there
    ]
    if not missing:
        return []
    response = await admin.create_topics(missing)
    for topic, code, *message in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # another agent was quicker
            raise EnvironmentFault(
                f"topic {topic} can't be created: {error.__name__} {message[0] if message else ''}",
                f"Create it with {settings.state_partitions} partitions and "
                f"{dict(names.configs()[topic])}, or allow this user to create topics.",
            )
    return [topic.name for topic in missing]


async def _partition_counts(
    admin: AIOKafkaAdminClient, settings: Settings, topics: list[str], created: Collection[str]
) -> dict[str, int]:
    """The number of partitions by topic. Waits until new topics have leaders."""
    deadline = asyncio.get_running_loop().time() + APPEAR_TIMEOUT_SECONDS
    while True:
        described = await describe(admin, topics, auto_create=not settings.create_topics)
        counts = {topic: metadata.partitions for topic, metadata in described.items()}
        absent = sorted(set(topics) - {name for name, count in counts.items() if count})
        if not absent:
            return counts
        if asyncio.get_running_loop().time() > deadline:
            late = [topic for topic in absent if topic in created]
            if late:
                raise EnvironmentFault(
                    f"these topics were created just now, and no broker leads them after "
                    f"{APPEAR_TIMEOUT_SECONDS:.0f} s: {', '.join(late)}",
                    "Are enough brokers up, and does the controller answer?",
                )
            raise EnvironmentFault(
                f"these topics are not there: {', '.join(absent)}",
                "Create them, or let the agent do it: create_topics: true.",
            )
        await asyncio.sleep(0.2)


async def _check_policies(admin: AIOKafkaAdminClient, names: TopicNames) -> list[str]:
    """Check that topics of state are compacted, and only those; returns warnings if that can't be
    read."""
    wanted = {n: c["cleanup.policy"] for n, c in names.configs().items()}
    policies, warnings = await config_values(admin, list(wanted), "cleanup.policy")
    for name, policy in policies.items():
        if wanted[name] == "compact" and "compact" not in policy:
            raise EnvironmentFault(
                f"topic {name} has cleanup.policy={policy}: the state in it would be deleted",
                f"kafka-configs.sh --alter --topic {name} --add-config cleanup.policy=compact",
            )
        if wanted[name] == "delete" and "compact" in policy:
            raise EnvironmentFault(
                f"topic {name} has cleanup.policy={policy}: compaction would lose records",
                f"kafka-configs.sh --alter --topic {name} --add-config cleanup.policy=delete",
            )
    return warnings


async def producers_clocks(admin: AIOKafkaAdminClient, topics: Collection[str]) -> list[str]:
    """The topics whose records have timestamps of their producers' clocks (CreateTime, Kafka's
    default), as far as this user may read their configuration."""
    types, _ = await config_values(admin, topics, "message.timestamp.type")
    return sorted(topic for topic, type_ in types.items() if type_ == "CreateTime")


async def config_values(
    admin: AIOKafkaAdminClient, topics: Collection[str], name: str
) -> tuple[dict[str, str], list[str]]:
    """A configuration value by topic; and warnings for topics whose configuration can't be read."""
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, topic, configs={name: None}) for topic in topics
    ]
    try:
        responses = await admin.describe_configs(resources)
    except KafkaError as error:
        return {}, [f"the configuration of the topics can't be read: {error}"]
    values: dict[str, str] = {}
    warnings = []
    for response in responses:
        for code, _message, _kind, topic, entries in (r[:5] for r in response.resources):
            if code:
                warnings.append(f"the configuration of {topic} can't be read: {for_code(code)()}")
            else:
                values[topic] = next((e[1] for e in entries if e[0] == name), "")
    return values, warnings
