"""Stage 1 on Kafka: fetch, fold, flush, commit.

    states        waiting (no topic yet) → reading ⇄ rebalancing → stopped; failed from any
    events        records fetched, flush due, partitions revoked or assigned, stop, a failure

The steps of a flush, in this order:

1. make the idle snapshot: records that are fetched later are not in these frames
2. get the partition counts of the topics, and check that none was created again, lookup topics too
3. fold all records that were fetched before, then make frames of them
4. commit the positions of lookup topics that records were joined at, if there are new ones
5. send the frames, wait for their acknowledgement
6. settle the dead letters and late records of covered records
7. commit the offsets that the frames allow

Rules:

- An error between two steps ends the run. The next run reads again from the last commit; frames are
  cumulative, so one that is sent twice counts once.
- One flush at a time: while one is not acknowledged, the next waits, and covers more.
- One lock is held from a fetch until its batches are queued, and by a rebalance, which flushes
  before it releases partitions.
- A position out of its log's range, or a topic that was created again, ends the run. When the
  partition is assigned again, `ingest_assignment` decides how to continue.

Exception: a commit of offsets (7) that the group refuses ends nothing. Membership was lost, and the
next owner of the partitions reads from the last commit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import OffsetOutOfRangeError

from agent import clock
from agent.core.fold.folder import Folder
from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault
from agent.kafka.assignment_words import in_words
from agent.kafka.flush_pace import IDLE_INTERVALS, FlushPace
from agent.kafka.fold_queue import Flush, FoldQueue, IdleSnapshot
from agent.kafka.idleness import IdleDetector
from agent.kafka.ingest_assignment import find_begins
from agent.kafka.lookup_reader import LookupReader
from agent.kafka.partition_counts import PartitionCounts, UnreadRecords
from agent.kafka.publish import Publisher, acknowledged
from agent.kafka.schema_registry import SchemaRegistry
from agent.kafka.side_outputs import SideOutputs
from agent.kafka.source_consumer import SourceConsumer
from agent.kafka.stage_events import IngestProgress
from agent.kafka.topic_subscription import TopicSubscription
from agent.kafka.topics import TopicNames
from agent.settings import Settings

log = logging.getLogger(__name__)

POLL_MS = 250  # in a catch-up, whose end no record may announce
IDLE_POLL_MS = 1_000  # while nothing comes; a rebalance interrupts it


class IngestStage:
    """Stage 1 of this worker: one consumer, one folder per source topic."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        publisher: Publisher,
        side_outputs: SideOutputs,
        admin: AIOKafkaAdminClient,
        state_partitions: int,
        progress: IngestProgress,
        wall_ms: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._side_outputs = side_outputs
        self._admin = admin
        self._progress = progress
        self._wall_ms = wall_ms
        self._plan = plan
        names = TopicNames.of(settings)
        self._lock = asyncio.Lock()
        self._consumer = SourceConsumer(settings, self._revoked, self._assigned)
        self._subscription = TopicSubscription(admin, self._consumer, plan, names, progress)
        self._state_partitions = state_partitions
        self._unread = UnreadRecords()
        self._registry = SchemaRegistry(settings, plan, progress.schemas)
        self._lookups = LookupReader(settings, plan, progress.lookups)
        self._counts = PartitionCounts(
            admin, self._consumer, self._subscription, plan, names, self._unread,
            self._lookups.topics, progress,
        )  # fmt: skip
        self._queue = FoldQueue({}, side_outputs, progress, wall_ms, self._registry, self._lookups)
        self._idleness = IdleDetector(
            settings.session_timeout, IDLE_INTERVALS * settings.flush_interval
        )
        self._pace = FlushPace(settings.flush_interval, time.monotonic())
        self._delivery: asyncio.Task[None] | None = None  # of the last flush
        self._delivery_began = 0.0
        self._failure: BaseException | None = None
        self._stopping = False

    def stop(self) -> None:
        """Ask `run` to flush, commit, leave the group and return."""
        self._stopping = True
        self._consumer.interrupt()
        self._registry.give_up()

    async def run(self) -> None:
        """Read until `stop`. Raises errors after which reading can't continue without a gap."""
        subscribing: asyncio.Task[None] | None = None
        try:
            await self._lookups.start(self._admin)
            subscribing = asyncio.create_task(self._subscription.run())
            await self._consumer.start()
            await self._read(subscribing)
            async with self._lock:
                await self._flush_all()
        finally:
            if subscribing is not None:
                subscribing.cancel()
            # A cancelled run (a crash of the other stage) must not wait for acknowledgements.
            await self._consumer.stop()
            if self._delivery is not None:
                self._delivery.cancel()
            self._queue.close()
            await self._lookups.stop()
            self._progress.forget_all()

    # ---- reading

    async def _read(self, subscribing: asyncio.Task[None]) -> None:
        while not self._stopping:
            if self._failure is not None:
                raise self._failure
            if subscribing.done():
                subscribing.result()
            self._idleness.tick(time.monotonic(), self._wall_ms())
            if not self._consumer.is_subscribed:
                await asyncio.sleep(POLL_MS / 1000)
                continue
            async with self._lock:
                await self._step()
            # The lock is fair, but a rebalance needs the loop to get at it.
            await asyncio.sleep(0)

    async def _step(self) -> None:
        """Fetch, queue the records, and flush if that is due."""
        wait_ms = self._pace.until_due_ms(time.monotonic())
        most_ms = POLL_MS if self._pace.behind else IDLE_POLL_MS
        try:
            records = await self._consumer.fetch(min(most_ms, wait_ms))
        except OffsetOutOfRangeError as error:
            await self._end_at_gap(error)
        # A partition whose first offset is not known yet will be read again from there.
        records = {tp: r for tp, r in records.items() if r and self._queue.is_assigned(tp)}
        for tp in records:
            self._idleness.received(tp, self._wall_ms())
        await self._queue.add(records)
        count = sum(map(len, records.values()))
        # A backlog that was read to its end is flushed at once: the next record may be far off.
        at_end = self._pace.behind and (
            not records or await self._consumer.is_at_end(self._queue.partitions())
        )
        self._pace.fetched(count, at_end)
        if self._pace.is_due(self._queue.unflushed, time.monotonic()):
            had_events = self._queue.unflushed > 0
            started = await self._flush()
            self._pace.flushed(started, had_events, time.monotonic())

    async def _end_at_gap(self, error: OffsetOutOfRangeError) -> NoReturn:
        """End the run, once all records before the gap are acknowledged and committed: the next run
        detects which were missed."""
        await self._flush_all()
        tp, offset = next(iter(error.args[0].items()))
        raise EnvironmentFault(
            f"topic {tp.topic} partition {tp.partition} has no offset {offset} any more: "
            "records were deleted before they were read, or the topic was created again"
        ) from error

    # ---- flush and commit

    async def _flush(self) -> bool:
        """Begin a flush of all fetched records; its steps 2 to 7 run in the background.

        Returns False while the last one is not acknowledged: the next flush covers both.
        """
        if self._delivery is not None:
            if not self._delivery.done():
                self._progress.unacknowledged(time.monotonic() - self._delivery_began)
                return False
            self._delivery.result()
        self._delivery_began = time.monotonic()
        flush = self._queue.flush(
            await self._idle_snapshot(), self._counts.now(self._queue.folders)
        )
        self._delivery = asyncio.create_task(self._deliver(flush, self._delivery_began))
        return True

    async def _flush_all(self) -> None:
        """Flush and commit everything now."""
        if self._delivery is not None:
            await self._delivery
        await self._flush()
        if self._delivery is not None:
            await self._delivery

    async def _deliver(self, framing: asyncio.Task[Flush], began: float) -> None:
        """Send frames, wait for the acknowledgements, then commit.

        Unchanged offsets are committed again: the response confirms the membership, and shows a
        rebalance sooner than a heartbeat does.
        """
        flush = await framing
        self._queue.flushed(framing)
        if flush.early_commits and not await self._consumer.commit(flush.early_commits):
            raise EnvironmentFault("not in the group any more: frames are not sent")
        await acknowledged(await self._publisher.frames(flush.frames))
        self._unread.acknowledged(flush.covered)
        await self._side_outputs.settle(flush.sent)
        self._progress.flushed(len(flush.frames), time.monotonic() - began)
        if flush.commits and await self._consumer.commit(flush.commits):
            self._idleness.confirm_membership(time.monotonic())

    async def _idle_snapshot(self) -> IdleSnapshot:
        """How long each partition has been idle.

        The clock is ticked first: a worker that was suspended must notice it before it reports a
        partition as idle, or it would close windows whose events it has not read.
        """
        clock_ms = self._wall_ms()
        self._idleness.tick(time.monotonic(), clock_ms)
        idle_ms: dict[str, dict[int, int | None]] = {topic: {} for topic in self._queue.folders}
        for tp in self._queue.partitions():
            remaining = await self._consumer.remaining(tp)
            answered_ms = self._consumer.answered_ms(tp)
            if remaining is not None:
                self._progress.lag(tp.topic, tp.partition, remaining)
            end_seen_ms = answered_ms if remaining == 0 else None
            idle_ms[tp.topic][tp.partition] = self._idleness.idle_ms(tp, end_seen_ms)
        return IdleSnapshot(clock_ms, idle_ms)

    def _folder(self, topic: str) -> Folder:
        """The folder of a topic, a new one for the first of its partitions."""
        if topic not in self._queue.folders:
            self._queue.folders[topic] = Folder(
                self._plan, topic, self._state_partitions, lookups=self._lookups.topics
            )
        return self._queue.folders[topic]

    # ---- rebalances

    async def _revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Flush, commit and forget partitions that are being revoked."""
        self._consumer.interrupt()
        self._registry.give_up()  # a waiting fetch has the lock
        async with self._lock:
            lost = [tp for tp in partitions if self._queue.is_assigned(tp)]
            if not lost:
                return
            try:
                await self._flush_all()
            except Exception as error:
                self._failure = error
            for tp in lost:
                self._queue.folders[tp.topic].revoke(tp.partition)
                self._idleness.forget(tp)
                self._unread.forget(tp)
                self._progress.forget(tp.topic, tp.partition)
            log.info("revoked: %d source partitions", len(lost))

    async def _assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Continue with partitions from the commits of their last owner."""
        self._consumer.interrupt()
        self._registry.give_up()
        async with self._lock:
            try:
                await self._queue.drain()
                await self._begin(partitions)
            except Exception as error:
                self._failure = error

    async def _begin(self, partitions: Sequence[TopicPartition]) -> None:
        if not partitions:
            log.info("no source partitions assigned: other workers have all of them")
        begins = await find_begins(
            self._settings, self._admin, self._consumer, partitions, self._plan
        )
        paused = []
        for tp in partitions:
            begin = begins.get(tp)
            if begin is None:  # its commit has the format of another version
                self._consumer.pause(tp)
                paused.append((tp.topic, tp.partition))
                continue
            if (words := in_words(tp, begin)) is not None:
                log.log(*words)
            now_ms = self._wall_ms()
            self._progress.missed(tp.topic, tp.partition, begin.finding.missed)
            self._folder(tp.topic).assign(tp.partition, begin.resume, now_ms)
            self._consumer.seek(tp, begin.resume.offset)
            self._unread.begin(tp, begin.resume.covered)
            self._idleness.begin(tp, now_ms)
        self._idleness.confirm_membership(time.monotonic())
        read = len(partitions) - len(paused)
        self._progress.assigned(read, paused)
        if read:
            log.info("assigned: %d source partitions", read)
