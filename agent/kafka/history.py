"""What source topics hold of a stretch of time, through the core, beside all consumer groups.

The consumer has no group: it is told its partitions and where to begin, and commits nothing, so
that a running agent doesn't notice. Where to begin is asked by the records' timestamps: an event is
rejected when it is further ahead of its record's timestamp than `max_future`, so whatever happened
from an instant on was written from `max_future` before it on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agent.core.decode.batch import Batch
from agent.core.fold.folder import Added
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted
from agent.core.pipeline import Pipeline
from agent.errors import EnvironmentFault
from agent.kafka.client import connection
from agent.settings import Settings

MOST_RECORDS = 20_000
POLL_MS = 1_000

Note = Callable[[str, Added], None]
"""Told what became of each batch, with a name for where it comes from."""

Progress = Callable[[int, int], None]
"""Told how many records of how many were passed."""


async def history(
    settings: Settings,
    plan: Plan,
    from_ms: int | None,
    until_ms: int,
    note: Note,
    progress: Progress = lambda _done, _all: None,
) -> AsyncIterator[Emitted]:
    """Everything that closes by `until_ms`, from the events since `from_ms` (None: since the
    topics begin), batch by batch: each series in the order of time.

    Reads each partition up to where it ends now, or until nothing in it can belong to a window that
    ends by `until_ms`. A partition without a record as new as `from_ms` is read from its beginning:
    not every broker can search by time. Raises EnvironmentFault when the brokers can't be reached
    or a topic isn't there.
    """
    options = {**connection(settings), "client_id": f"{settings.group}-history"}
    try:
        partitions = await _partitions(options, plan.topics)
        consumer = AIOKafkaConsumer(
            **options, group_id=None, enable_auto_commit=False, isolation_level="read_committed"
        )
        await consumer.start()
        try:
            pipeline = Pipeline(plan, {topic: len(found) for topic, found in partitions.items()})
            places = [
                TopicPartition(topic, p) for topic, found in partitions.items() for p in found
            ]
            reading = _read(consumer, pipeline, places, from_ms, until_ms, note, progress)
            async for closings in reading:
                yield closings
        finally:
            await consumer.stop()
    except (KafkaError, OSError) as error:
        raise EnvironmentFault(
            f"the topics can't be read from {settings.brokers}: {error}"
        ) from error


async def _read(
    consumer: AIOKafkaConsumer,
    pipeline: Pipeline,
    places: list[TopicPartition],
    from_ms: int | None,
    until_ms: int,
    note: Note,
    progress: Progress,
) -> AsyncIterator[Emitted]:
    consumer.assign(places)
    ends = await consumer.end_offsets(places)  # as far as transactions are decided
    found = await begins_of(consumer, pipeline.plan, places, from_ms)
    begins = {place: begin.offset for place, begin in found.items()}
    whole = sum(max(ends[place] - begins[place], 0) for place in places)
    reading = set(places)
    done = 0
    newest_ms: int | None = None  # by the records' timestamps

    def finish(place: TopicPartition) -> None:
        reading.discard(place)
        consumer.pause(place)
        pipeline.end(place.topic, place.partition)

    for place in places:
        if begins[place] >= ends[place]:
            finish(place)
        else:
            consumer.seek(place, begins[place])
    while reading:
        fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
        for place, records in fetched.items():
            within = [record for record in records if record.offset < ends[place]]
            if within and place in reading:
                note(f"{place.topic}/{place.partition}", pipeline.add(_batch(place, within)))
                done += len(within)
                newest_ms = max(within[-1].timestamp, newest_ms or 0)
        progress(done, whole)
        for place in list(reading):
            # The position also passes what holds no record: markers of transactions, and gaps.
            at_end = await consumer.position(place) >= ends[place]
            if at_end or pipeline.is_past(place.topic, place.partition, until_ms):
                finish(place)
        yield pipeline.flush()
    yield pipeline.finish(0 if newest_ms is None else max(0, until_ms - newest_ms))


async def newest(settings: Settings, topic: str, most: int) -> list[bytes]:
    """The newest records of a topic, about `most` of them, in the order of their timestamps.

    Raises EnvironmentFault as `history` does.
    """
    options = {**connection(settings), "client_id": f"{settings.group}-history"}
    try:
        partitions = await _partitions(options, [topic])
        places = [TopicPartition(topic, partition) for partition in partitions[topic]]
        consumer = AIOKafkaConsumer(**options, group_id=None, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            begins = await consumer.beginning_offsets(places)
            found: list[tuple[int, bytes]] = []
            reading = {p for p in places if begins[p] < ends[p]}
            for place in places:
                consumer.seek(place, max(begins[place], ends[place] - -(-most // len(places))))
            while reading:
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    found += [(r.timestamp, r.value) for r in records if r.value is not None]
                reading = {p for p in reading if await consumer.position(p) < ends[p]}
        finally:
            await consumer.stop()
    except (KafkaError, OSError) as error:
        told = f"{topic} can't be read from {settings.brokers}: {error}"
        raise EnvironmentFault(told) from error
    return [value for _, value in sorted(found, key=lambda item: item[0])]


async def _partitions(options: Mapping[str, Any], topics: Sequence[str]) -> dict[str, list[int]]:
    """The partitions of topics."""
    admin = AIOKafkaAdminClient(**options)
    try:
        await admin.start()
        known = set(await admin.list_topics())
        missing = [topic for topic in topics if topic not in known]
        if missing:
            raise EnvironmentFault(f"there is no topic {', '.join(missing)}")
        described = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    return {
        topic["topic"]: sorted(place["partition"] for place in topic["partitions"])
        for topic in described
    }


@dataclass(frozen=True, slots=True)
class Begin:
    """Where to begin in a partition. `whole_from_ms`: records before that were deleted may hold
    events up to there; None where none can that was asked for."""

    offset: int
    whole_from_ms: int | None = None


async def begins_of(
    consumer: AIOKafkaConsumer, plan: Plan, places: Sequence[TopicPartition], from_ms: int | None
) -> Mapping[TopicPartition, Begin]:
    """Where the events since an instant begin (None: where the log begins)."""
    begins: dict[TopicPartition, int] = await consumer.beginning_offsets(places)
    if from_ms is None:
        return {place: Begin(offset) for place, offset in begins.items()}
    ahead = {t: max(c.max_future_ms for c in plan.contracts_of(t)) for t in plan.topics}
    wanted = {place: max(from_ms - ahead[place.topic], 0) for place in places}
    found = await consumer.offsets_for_times(wanted)
    out = {}
    for place, first in begins.items():
        at = found.get(place)
        # Where the first record that is left is as new as what is asked for, newer ones than that
        # may be gone.
        is_short = at is not None and first > 0 and at.offset <= first
        whole_from_ms = at.timestamp + ahead[place.topic] if at and is_short else None
        out[place] = Begin(max(first, at.offset) if at else first, whole_from_ms)
    return out


def _batch(place: TopicPartition, records: list[Any]) -> Batch:
    return Batch(
        place.topic,
        [record.value for record in records],
        np.full(len(records), place.partition, np.int32),
        np.fromiter((record.offset for record in records), np.int64, len(records)),
        np.fromiter((record.timestamp for record in records), np.int64, len(records)),
    )
