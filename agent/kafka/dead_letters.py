"""Reads the dead-letter topic, and reviews its records by the present contracts."""

from __future__ import annotations

from contextlib import aclosing, closing

from agent.core.dead_letters import DeadLetter, Origin, Review, Reviewer
from agent.core.model.plan import Plan
from agent.kafka.client import kafka_faults
from agent.kafka.fetched import Record
from agent.kafka.history import partitions_of
from agent.kafka.schema_registry import SchemaRegistry
from agent.kafka.topic_reader import Progress, all_records, no_progress
from agent.kafka.topics import TopicNames
from agent.settings import Settings


async def review(settings: Settings, plan: Plan, progress: Progress = no_progress) -> Review:
    """Review all dead letters. Raises EnvironmentFault if the topic can't be read, or the schema
    registry doesn't answer."""
    topic = TopicNames.of(settings).dead_letters
    reviewer, failed = Reviewer(plan), f"{topic} can't be read from {settings.brokers}"
    with closing(SchemaRegistry(settings, plan)) as registry, kafka_faults(failed):
        partitions = await partitions_of(settings, [topic])
        async with aclosing(all_records(settings, partitions)) as batches:
            async for done, whole, records in batches:
                letters = filter(None, map(read_letter, records))
                for batch, of_topic in reviewer.batches(letters):
                    reviewer.add(await registry.with_schemas(batch), of_topic)
                progress(done, whole)
    return reviewer.review


def read_letter(record: Record) -> DeadLetter | None:
    """Parse a record of the dead-letter topic; None if the agent has not written it."""
    ours = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    try:
        origin = Origin(
            ours["kpi-agent-topic"], int(ours["kpi-agent-partition"]), int(ours["kpi-agent-offset"])
        )
        timestamp_ms = int(ours["kpi-agent-timestamp"])
    except (KeyError, ValueError):
        return None
    return DeadLetter(
        origin,
        timestamp_ms,
        record.key,
        record.value,
        [(name, value) for name, value in record.headers if not name.startswith("kpi-agent-")],
        ours.get("kpi-agent-contract", ""),
        ours.get("kpi-agent-reason", ""),
        is_truncated="kpi-agent-original-length" in ours,
    )
