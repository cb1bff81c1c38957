"""Runs the events of a period, read from the source topics, through the core.

The consumer has no group and commits nothing: a running agent is not affected. It finds its start
offsets by the records' timestamps. An event may be at most `max_future` ahead of its record's
timestamp, so the events since an instant are in the records since `max_future` before it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from agent.core.fold.folder import FoldResult
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted
from agent.core.output.messages import iso
from agent.core.pipeline import Pipeline
from agent.errors import EnvironmentFault
from agent.kafka.batch_fetch import enable_batch_fetch
from agent.kafka.client import kafka_faults, new_admin, new_reader, running
from agent.kafka.fetched import Record, make_batch
from agent.kafka.lookup_reader import read_lookups
from agent.kafka.schema_registry import SchemaRegistry
from agent.kafka.source_topics import source_topics, unmatched
from agent.kafka.topic_ids import describe
from agent.kafka.topic_reader import Progress, no_progress, read_newest
from agent.kafka.topics import TopicNames
from agent.settings import Settings

MOST_RECORDS = 20_000
POLL_MS = 1_000

OnBatch = Callable[[str, FoldResult], None]
"""Called with the outcome of each batch, and a name for where it comes from."""


async def history(
    settings: Settings,
    plan: Plan,
    from_ms: int | None,
    until_ms: int,
    on_batch: OnBatch,
    progress: Progress = no_progress,
    is_restated: bool = False,
) -> AsyncIterator[Emitted]:
    """What the events since `from_ms` (None: all events) emit, batch by batch, each series in the
    order of time, up to the windows that end by `until_ms`.

    Reads each partition up to its current end, or until none of its records can belong to a window
    that ends by `until_ms`. A partition without a record as new as `from_ms` is read from its
    beginning: not every broker can search by time. `is_restated`: the plan is that of a restatement
    (`agent.core.restatement`), which needs every record that can count. Raises EnvironmentFault
    where the brokers can't be reached, a topic does not exist, or a restatement lacks records.
    """
    failed = f"the topics can't be read from {settings.brokers}"
    with closing(SchemaRegistry(settings, plan)) as registry, kafka_faults(failed):
        partitions = await _partitions(settings, plan)
        # Without records that are deleted meanwhile, the windows would be wrong.
        reader = new_reader(settings, name="history", auto_offset_reset="none")
        async with running(reader) as consumer:
            enable_batch_fetch(consumer)
            counts = {topic: len(numbers) for topic, numbers in partitions.items()}
            lookups = await read_lookups(settings, plan)
            pipeline = Pipeline(plan, counts, lookups=lookups)
            tps = [TopicPartition(t, p) for t, numbers in partitions.items() for p in numbers]
            consumer.assign(tps)
            begins = await begins_of(consumer, plan, tps, from_ms)
            if is_restated:
                _check_reach(begins, from_ms)
            reading = _read(consumer, registry, pipeline, begins, until_ms, on_batch, progress)
            async for emitted in reading:
                yield emitted
            if is_restated:
                yield pipeline.advance_to(until_ms)


async def _read(
    consumer: AIOKafkaConsumer,
    registry: SchemaRegistry,
    pipeline: Pipeline,
    begins: Mapping[TopicPartition, Begin],
    until_ms: int,
    on_batch: OnBatch,
    progress: Progress,
) -> AsyncIterator[Emitted]:
    ends = await consumer.end_offsets(list(begins))  # the last stable offsets
    total = sum(max(ends[tp] - begin.offset, 0) for tp, begin in begins.items())
    reading = set(begins)
    done = 0
    newest_ms: int | None = None  # by the records' timestamps

    def finish(tp: TopicPartition) -> None:
        reading.discard(tp)
        consumer.pause(tp)
        pipeline.end(tp.topic, tp.partition)

    for tp, begin in begins.items():
        consumer.seek(tp, begin.offset)
        if begin.offset >= ends[tp]:
            finish(tp)
    while reading:
        try:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
        except OffsetOutOfRangeError as error:
            raise EnvironmentFault(
                f"records of {', '.join(sorted({tp.topic for tp in begins}))} were deleted before "
                "they were read",
                "Run it again: it continues with the rest.",
            ) from error
        for tp, records in fetched.items():
            within = records.before(ends[tp])
            if within and tp in reading:
                batch = make_batch(tp.topic, [(tp.partition, within)])
                batch = await registry.with_schemas(batch)
                on_batch(f"{tp.topic}/{tp.partition}", pipeline.add(batch))
                done += len(within)
                newest_ms = max(int(batch.timestamps[-1]), newest_ms or 0)
        progress(done, total)
        for tp in list(reading):
            # The position also passes what holds no record: markers of transactions, and gaps.
            at_end = await consumer.position(tp) >= ends[tp]
            if at_end or pipeline.is_past(tp.topic, tp.partition, until_ms):
                finish(tp)
        yield pipeline.flush()
    yield pipeline.finish(0 if newest_ms is None else max(0, until_ms - newest_ms))


def _check_reach(begins: Mapping[TopicPartition, Begin], from_ms: int | None) -> None:
    """Raise EnvironmentFault where deleted records may have belonged to the period."""
    for tp, begin in sorted(begins.items()):
        if begin.complete_from_ms is not None:
            raise EnvironmentFault(
                f"topic {tp.topic} partition {tp.partition} does not reach back to "
                f"{iso(from_ms or 0)}: it is complete from about {iso(begin.complete_from_ms)} on",
                f"Windows that begin after {iso(begin.complete_from_ms)} can be restated.",
            )


async def newest(settings: Settings, topic: str, most: int) -> list[Record]:
    """The newest records of a topic, about `most` of them, in the order of their timestamps.

    Raises EnvironmentFault as `history` does.
    """
    with kafka_faults(f"{topic} can't be read from {settings.brokers}"):
        partitions = (await partitions_of(settings, [topic]))[topic]
        share = -(-most // len(partitions))
        records = await read_newest(settings, topic, partitions, share)
    return sorted(records, key=lambda record: record.timestamp)


async def _partitions(settings: Settings, plan: Plan) -> dict[str, list[int]]:
    """The partitions of a plan's topics."""
    if not plan.has_patterns:
        return await partitions_of(settings, plan.topics)
    partitions = await partitions_of(settings, None)
    topics = source_topics(plan, TopicNames.of(settings), partitions)
    if missing := unmatched(plan, topics):
        raise EnvironmentFault(f"there is no topic {', '.join(missing)}")
    return {topic: partitions[topic] for topic in topics}


async def partitions_of(settings: Settings, topics: Sequence[str] | None) -> dict[str, list[int]]:
    """The partitions of topics; None: of all topics. Raises EnvironmentFault if one does not
    exist."""
    async with running(new_admin(settings)) as admin:
        described = await describe(admin, topics)
    missing = [topic for topic in topics or () if topic not in described]
    if missing:
        raise EnvironmentFault(f"there is no topic {', '.join(missing)}")
    return {topic: list(range(metadata.partitions)) for topic, metadata in described.items()}


@dataclass(frozen=True, slots=True)
class Begin:
    """Where to begin in a partition. `complete_from_ms`: records that were deleted may have held
    events up to this event time (ms); None where none of them can have been in the period."""

    offset: int
    complete_from_ms: int | None = None


async def begins_of(
    consumer: AIOKafkaConsumer, plan: Plan, tps: Sequence[TopicPartition], from_ms: int | None
) -> Mapping[TopicPartition, Begin]:
    """The offsets where the events since an instant begin (None: where the logs begin)."""
    log_starts: dict[TopicPartition, int] = await consumer.beginning_offsets(tps)
    if from_ms is None:
        return {tp: Begin(offset) for tp, offset in log_starts.items()}
    topics = {tp.topic for tp in tps}
    ahead = {t: max(c.max_future_ms for c in plan.contracts_of(t)) for t in topics}
    wanted = {tp: max(from_ms - ahead[tp.topic], 0) for tp in tps}
    first_since = await consumer.offsets_for_times(wanted)
    begins = {}
    for tp, first in log_starts.items():
        at = first_since.get(tp)
        # Where the first record that is left is in the period, earlier ones of it may be deleted.
        is_short = at is not None and first > 0 and at.offset <= first
        complete_from_ms = at.timestamp + ahead[tp.topic] if at and is_short else None
        begins[tp] = Begin(max(first, at.offset) if at else first, complete_from_ms)
    return begins
