"""A person's records in the agent's topics: finding them, and deleting those of the state.

The state topic and the board topic are compacted: a row goes with a tombstone. A worker that runs
would write its rows again, so they are deleted while none does; the next start reads the tombstones
from the changelog, into its databases on disk, too. The other topics are left to their retention.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.errors import for_code

from agent.core.erasure import PersonRecords
from agent.errors import EnvironmentFault
from agent.kafka.client import kafka_faults, new_admin, new_producer, running
from agent.kafka.fetched import Record
from agent.kafka.frame_batches import split
from agent.kafka.history import partitions_of
from agent.kafka.state_table import key_of_row
from agent.kafka.topic_reader import Progress, all_records, no_progress
from agent.kafka.topics import TopicNames, config_values
from agent.settings import Settings

Names = Callable[[Record], bool]
RowId = tuple[int, bytes]
"""The partition and the key of a record in a compacted topic."""


@dataclass(slots=True)
class PersonTopic:
    """What a topic has of a person: how many records, and when the newest was written (ms).

    `rows` are those of a compacted topic that have a value. `retention_ms`: -1 if nothing is
    deleted, None where the broker does not say. `needed`: how many of the records a restart reads,
    which begins at `restart_offsets`, by partition.
    """

    topic: str
    is_compacted: bool
    records: int = 0
    newest_ms: int | None = None
    rows: dict[RowId, None] = field(default_factory=dict)
    retention_ms: int | None = None
    restart_offsets: Mapping[int, int] = field(default_factory=dict)
    needed: int = 0

    def add(self, record: Record) -> None:
        """Count a record that names the person."""
        row = record.partition, record.key or b""
        if self.is_compacted and record.value is None:
            self.rows.pop(row, None)
        elif self.is_compacted:
            self.rows[row] = None
        self.records = len(self.rows) if self.is_compacted else self.records + 1
        self.newest_ms = max(record.timestamp, self.newest_ms or 0)
        self.needed += record.offset >= self.restart_offsets.get(record.partition, sys.maxsize)


async def find(
    settings: Settings, person: PersonRecords, progress: Progress = no_progress
) -> list[PersonTopic]:
    """What each of the agent's topics has of a person. Raises EnvironmentFault."""
    names = TopicNames.of(settings)
    readers = _readers(names, person)
    compacted = {
        t for t, config in names.configs().items() if config["cleanup.policy"] == "compact"
    }
    topics = {name: PersonTopic(name, name in compacted) for name in readers}
    with kafka_faults(f"the topics can't be read from {settings.brokers}"):
        partitions = await partitions_of(settings, list(topics))
        frames = [TopicPartition(names.frames, p) for p in partitions[names.frames]]
        async with running(new_admin(settings)) as admin:
            retention, _ = await config_values(admin, list(topics), "retention.ms")
            committed = await admin.list_consumer_group_offsets(
                f"{settings.group}-merge", partitions=frames
            )
        topics[names.frames].restart_offsets = {
            tp.partition: at.offset for tp, at in committed.items()
        }
        async with aclosing(all_records(settings, partitions)) as batches:
            async for done, whole, records in batches:
                for record in records:
                    if readers[record.topic](record):
                        topics[record.topic].add(record)
                progress(done, whole)
    for name, text in retention.items():
        topics[name].retention_ms = int(text) if text.lstrip("-").isdigit() else None
    return list(topics.values())


async def require_stopped(settings: Settings) -> None:
    """Raises EnvironmentFault where a worker runs, or the brokers do not say whether one does."""
    occupied = []
    with kafka_faults(
        "it is not known whether agents are running",
        "The user needs the permission to describe both consumer groups.",
    ):
        async with running(new_admin(settings)) as admin:
            for group in (f"{settings.group}-ingest", f"{settings.group}-merge"):
                # aiokafka misreads a response about several groups.
                (response,) = await admin.describe_consumer_groups([group])
                ((code, _, _, _, _, members),) = response.groups
                if code:
                    raise for_code(code)(f"group {group}")
                occupied += [f"{group} has {len(members)} members"] if members else []
    if occupied:
        raise EnvironmentFault(
            f"agents are running: {', '.join(occupied)}. They would write the rows again",
            "Stop all workers; one that was killed leaves the group after session_timeout.",
        )


async def delete(settings: Settings, topics: Iterable[PersonTopic]) -> int:
    """Delete a person's rows from the compacted topics; how many. No worker may run. Raises
    EnvironmentFault.

    Of a series' rows the shortest key goes first, as when it expires: what is deleted only in part
    leaves the table whole (`agent.core.state.rows`).
    """
    deleted = 0
    with kafka_faults("the rows can't be deleted"):
        async with running(new_producer(settings)) as producer:
            for topic in topics:
                for partition, key in sorted(topic.rows, key=lambda row: len(row[1])):
                    await producer.send_and_wait(topic.topic, None, key, partition)
                    deleted += 1
    return deleted


def _readers(names: TopicNames, person: PersonRecords) -> Mapping[str, Names]:
    """How the records of each topic say whether they name a person."""

    def as_it_came(record: Record) -> bool:
        return person.has_text([record.key, record.value, *(value for _, value in record.headers)])

    return {
        names.series: lambda record: person.has_row(key_of_row(record.key)),
        names.board: lambda record: person.has_board_row(record.key),
        names.frames: lambda record: person.has_partial(split(record.value or b"")),
        names.dead_letters: as_it_came,
        names.late: as_it_came,
        names.values: lambda record: person.has_output(record.key),
        names.alerts: lambda record: person.has_output(record.key),
    }
