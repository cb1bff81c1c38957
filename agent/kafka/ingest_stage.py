"""Stage 1 on Kafka: fetch, fold, flush, commit.

The order that nothing may change: fold records → send the frames that cover them, and the dead
letters and late records among them → wait for the broker's acknowledgements → commit. An error
in between ends the run, and a new one reads again from what was committed; frames are cumulative,
so what was sent twice counts once.

Folding stands in line: batches in the order of the log, and the frames of a flush behind what they
cover. Fetching, decoding and sending go on beside it. One lock is held from a fetch until its
batches stand in line, and by a rebalance, which waits for the line to end, with a flush, before it
gives partitions away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata

from agent.core.decode.batch import Batch, Decoded
from agent.core.fold.folder import Folder
from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault
from agent.kafka.batch_fetch import Fetched, by_batch
from agent.kafka.client import connection
from agent.kafka.idleness import IdleDetector
from agent.kafka.ingest_assignment import find_begins, in_words
from agent.kafka.publish import Publisher, acknowledged
from agent.kafka.side_outputs import Record, Sent, SideOutputs
from agent.kafka.stage_events import IngestProgress
from agent.kafka.topic_ids import describe
from agent.kafka.topics import TopicNames, producers_clocks
from agent.settings import Settings

log = logging.getLogger(__name__)

POLL_MS = 250  # in a catch-up, whose end may be told by no record
IDLE_POLL_MS = 1_000  # while nothing comes; a rebalance cuts it short
QUIET_INTERVALS = 2  # between flushes with no event to tell of, only of the time
RETRY_SECONDS = 0.08  # until a flush is tried again whose forerunner is not acknowledged
MAX_POLL_RECORDS = 35_000  # two batches are in memory at a time
FLUSH_RECORDS = 200_000  # in a catch-up, so that merging goes on beside it and little is left
MAX_FETCH_BYTES = 32 * 1024 * 1024
MAX_PARTITION_FETCH_BYTES = 8 * 1024 * 1024
COMMIT_TIMEOUT_SECONDS = 10.0
COUNT_TIMEOUT_SECONDS = 1.0
TOPIC_CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Fetch:
    """What was fetched of a topic, in the order of a batch."""

    topic: str
    parts: list[tuple[int, Fetched]]

    def record(self, row: int) -> Record:
        """The record of a row of the batch."""
        for partition, records in self.parts:
            if row < len(records):
                return records.record(self.topic, partition, row)
            row -= len(records)
        raise IndexError(row)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the consumer knows when all that it has read is on its way into the folders: the time
    (ms), and by topic for how long each partition has been quiet."""

    clock_ms: int
    quiet_ms: dict[str, dict[int, int | None]]


@dataclass(frozen=True, slots=True)
class _Flush:
    """Frames, what may be committed once they are acknowledged, and what was sent of the records
    that they cover."""

    frames: list[tuple[int, bytes]]
    commits: dict[TopicPartition, OffsetAndMetadata]
    sent: list[Sent]


class Ingest:
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
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._side_outputs = side_outputs
        self._admin = admin
        self._progress = progress
        self._wall_ms = wall_ms
        self._topics = plan.topics
        self._folders = {t: Folder(plan, t, state_partitions) for t in plan.topics}
        self._group = f"{settings.group}-ingest"
        self._frames_topic = TopicNames.of(settings).frames
        self._lock = asyncio.Lock()
        # Decoding needs nothing but the batch: the next one is decoded while one is folded.
        self._decoding = ThreadPoolExecutor(2, thread_name_prefix="decode")
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="fold")
        self._consumer = self._new_consumer()
        self._quiet = IdleDetector(
            settings.session_timeout, QUIET_INTERVALS * settings.flush_interval
        )
        self._fetching: asyncio.Future[Mapping[TopicPartition, Fetched]] | None = None
        # What uses the folders waits in line: folds and, after those that they cover, frames.
        self._line: asyncio.Task[Any] | None = None
        self._folds: deque[asyncio.Task[None]] = deque()
        self._newest_folds = 0  # of the last fetch
        self._unflushed = 0  # records fetched since the last flush
        self._sent: list[Sent] = []  # of the records folded since the last flush
        self._telling: asyncio.Task[None] | None = None
        self._told_at = 0.0
        self._failure: BaseException | None = None
        self._stopping = False

    def stop(self) -> None:
        """Ask `run` to flush, commit, leave the group and return."""
        self._stopping = True
        self._make_way()

    async def run(self) -> None:
        """Read until `stop`. Raises what makes it impossible to go on without a gap."""
        subscribing = asyncio.create_task(self._keep_subscribed())
        try:
            await self._consumer.start()
            by_batch(self._consumer)
            await self._loop()
            async with self._lock:
                await self._flush_all()
        finally:
            subscribing.cancel()
            # A cancelled run (a crash of the other stage) must not wait for acknowledgements.
            await self._consumer.stop()
            for task in (*self._folds, self._line, self._telling):
                if task is not None:
                    task.cancel()
            self._decoding.shutdown(wait=True, cancel_futures=True)
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._progress.forget_all()

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **connection(self._settings),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",  # a client that jumps by itself hides a gap
            isolation_level="read_committed",
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            max_poll_records=MAX_POLL_RECORDS,
            fetch_max_bytes=MAX_FETCH_BYTES,
            max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
            session_timeout_ms=int(self._settings.session_timeout * 1000),
            heartbeat_interval_ms=int(self._settings.session_timeout * 1000 / 4),
        )

    async def _keep_subscribed(self) -> None:
        """Subscribe to the source topics that exist, and to the others as they appear."""
        subscribed: tuple[str, ...] = ()
        try:
            while not self._stopping:
                there = await self._existing_topics()
                if there is not None:
                    found = tuple(t for t in self._topics if t in there or t in subscribed)
                    self._progress.missing_topics([t for t in self._topics if t not in there])
                    if found != subscribed:
                        await self._warn_of_clocks(set(found).difference(subscribed))
                        self._consumer.subscribe(list(found), listener=_Listener(self))
                        subscribed = found
                await asyncio.sleep(TOPIC_CHECK_SECONDS if subscribed else 0.2)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # told by the loop, which can end the run
            self._failure = error

    async def _warn_of_clocks(self, topics: Collection[str]) -> None:
        """Say which topics' records carry their producers' clocks, by which events are judged."""
        with contextlib.suppress(KafkaError, OSError, TimeoutError):  # a hint is not worth a stop
            if found := await producers_clocks(self._admin, topics):
                log.warning(
                    "records of %s carry their producers' clocks (message.timestamp.type is "
                    "CreateTime): a machine whose clock is wrong can send events of any time. With "
                    "LogAppendTime, max_future and max_past hold by the brokers' clocks",
                    ", ".join(found),
                )

    async def _existing_topics(self) -> set[str] | None:
        """The topics that there are; None where no broker answers."""
        try:
            return set(await self._admin.list_topics())
        except (KafkaError, OSError, TimeoutError) as error:
            log.debug("the topics were not told: %r", error)
            return None

    # ---- the loop

    async def _loop(self) -> None:
        interval = self._settings.flush_interval
        flush_at = time.monotonic() + interval
        resting = behind = False
        while not self._stopping:
            self._raise_failure()
            self._quiet.tick(time.monotonic(), self._wall_ms())
            if not self._consumer.subscription():
                await asyncio.sleep(POLL_MS / 1000)
                continue
            async with self._lock:
                until_ms = max(0, int((flush_at - time.monotonic()) * 1000)) + 1
                records = await self._fetch(min(POLL_MS if behind else IDLE_POLL_MS, until_ms))
                if records and resting:
                    flush_at -= (QUIET_INTERVALS - 1) * interval
                    resting = False
                await self._finish_folds(self._newest_folds if records else 0)
                self._start_folds(records)
                full = sum(map(len, records.values())) >= MAX_POLL_RECORDS
                # What was caught up with is told at once: nothing more may come for a while.
                caught_up = behind and not full and (not records or await self._is_at_end())
                much = self._unflushed >= FLUSH_RECORDS
                if caught_up or much or time.monotonic() >= flush_at:
                    nothing_came = not self._unflushed
                    told = await self._flush()
                    resting = told and nothing_came
                    pause = QUIET_INTERVALS * interval if resting else interval
                    flush_at = time.monotonic() + (pause if told else RETRY_SECONDS)
                behind = full or (behind and not caught_up)
            # The lock is fair, but a rebalance needs the loop to get at it.
            await asyncio.sleep(0)

    async def _fetch(self, timeout_ms: int) -> Mapping[TopicPartition, Fetched]:
        """What has come, or comes within the time, if nobody else needs the lock before.

        While the group is being rearranged, `getmany` waits for that, whatever its timeout, and
        that waits for our lock. So we cut it short: it is cancelled before it takes any record.
        """
        self._fetching = fetching = asyncio.ensure_future(
            self._consumer.getmany(timeout_ms=timeout_ms)
        )
        try:
            await asyncio.wait([fetching], timeout=(timeout_ms + POLL_MS) / 1000)
        finally:
            fetching.cancel()
        await asyncio.wait([fetching])
        if fetching.cancelled():
            return {}
        try:
            fetched: Mapping[TopicPartition, Fetched] = fetching.result()
            return fetched
        except NoOffsetForPartitionError:
            return {}  # from before we went where the partition goes on
        except OffsetOutOfRangeError as error:
            await self._check_position(error)
            return {}

    async def _check_position(self, error: OffsetOutOfRangeError) -> None:
        """Raise what a position out of the log's range means, once all that was read before is
        told and committed: the next start finds out what was missed."""
        for tp, offset in error.args[0].items():
            if not self._is_assigned(tp) or await self._consumer.position(tp) != offset:
                continue  # from before we went where the partition goes on
            await self._flush_all()
            raise EnvironmentFault(
                f"topic {tp.topic} partition {tp.partition} has no offset {offset} any more: "
                "records were deleted before they were read, or the topic was created again"
            )

    def _is_assigned(self, tp: TopicPartition) -> bool:
        return tp.topic in self._folders and tp.partition in self._folders[tp.topic].sources

    def _make_way(self) -> None:
        """End the wait for records: somebody needs the lock, or we stop."""
        if self._fetching is not None:
            self._fetching.cancel()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _start_folds(self, fetched: Mapping[TopicPartition, Fetched]) -> None:
        """Hand what was fetched to the folding thread, one batch a topic."""
        by_topic: dict[str, list[tuple[int, Fetched]]] = {}
        for tp, records in fetched.items():
            # A partition whose resume point is not known yet will be read again from there.
            if records and tp.partition in self._folders[tp.topic].sources:
                by_topic.setdefault(tp.topic, []).append((tp.partition, records))
                self._quiet.fetched(tp, self._wall_ms())
        loop = asyncio.get_running_loop()
        for topic, parts in by_topic.items():
            parts.sort(key=itemgetter(0))
            fetch = _Fetch(topic, parts)
            batch = make_batch(topic, parts)
            self._unflushed += len(batch.values)
            decoded = loop.run_in_executor(self._decoding, self._folders[topic].decode, batch)
            fold = asyncio.create_task(self._fold(fetch, batch, decoded, self._line))
            self._folds.append(fold)
            self._line = fold
        self._newest_folds = len(by_topic)

    async def _fold(
        self,
        fetch: _Fetch,
        batch: Batch,
        decoded: asyncio.Future[Decoded],
        before: asyncio.Task[Any] | None,
    ) -> None:
        """Fold a batch when its turn comes; count what was found, send on what was refused."""
        started = time.monotonic()
        found = await decoded
        if before is not None:
            await before
        take = self._folders[fetch.topic].take
        loop = asyncio.get_running_loop()
        added = await loop.run_in_executor(self._executor, take, batch, found)
        self._progress.folded(fetch.topic, added, time.monotonic() - started)
        for row, reject in added.rejects:
            self._sent.append(
                await self._side_outputs.dead_letter(
                    fetch.record(row), reject.reason.value, reject.detail, reject.contract
                )
            )
        for row, contract in added.late:
            self._sent.append(await self._side_outputs.late(fetch.record(row), contract))

    async def _finish_folds(self, leave: int) -> None:
        """Wait for the folds under way, save the newest ones."""
        while len(self._folds) > leave:
            await self._folds.popleft()

    # ---- flush and commit

    async def _flush(self) -> bool:
        """Tell what was fetched so far; folding it, making frames of it, their acknowledgement and
        commit go on in the background.

        False while the last ones are not acknowledged: the next flush tells it all.
        """
        if self._telling is not None:
            if not self._telling.done():
                self._progress.unacknowledged(time.monotonic() - self._told_at)
                return False
            self._telling.result()
        started = self._told_at = time.monotonic()
        # Here and now, as what is fetched from here on is not in these frames.
        claim = await self._claim()
        framing = self._line = asyncio.create_task(self._make_frames(claim, self._line))
        self._unflushed = 0
        self._telling = asyncio.create_task(self._tell(framing, started))
        return True

    async def _flush_all(self) -> None:
        """Flush and commit everything now."""
        if self._telling is not None:
            await self._telling
        await self._flush()
        if self._telling is not None:
            await self._telling

    async def _partition_counts(self) -> dict[str, int]:
        """How many partitions the source topics have now, after the records that are told were
        fetched. So whatever was written to a partition by then is waited for, before the group has
        given the partition to anybody (docs/decisions/0026-partitions-that-are-added.md).

        Raises EnvironmentFault where a topic was created again: what was fetched since the last
        flush may be of its new log, so nothing of it is told
        (docs/decisions/0028-gaps-and-topics-made-anew.md).
        """
        ours = [topic for topic, folder in self._folders.items() if folder.sources]
        counts = {t: len(self._consumer.partitions_for_topic(t) or ()) for t in ours}
        if not ours:
            return counts
        try:
            found = await asyncio.wait_for(describe(self._admin, ours), COUNT_TIMEOUT_SECONDS)
        except (KafkaError, OSError, TimeoutError) as error:  # it is known from half a minute ago
            log.debug("the partitions of the source topics were not told: %r", error)
            return counts
        for topic, metadata in found.items():
            for source in self._folders[topic].sources.values():
                if metadata.topic_id and source.topic_id not in ("", metadata.topic_id):
                    raise EnvironmentFault(
                        f"topic {topic} was deleted and created again (its id was "
                        f"{source.topic_id} and is {metadata.topic_id})"
                    )
        now = {topic: metadata.partitions for topic, metadata in found.items()}
        if any(count > counts[topic] for topic, count in now.items()):
            self._consumer._client.force_metadata_update()  # let the group share out anew
        return {topic: max(count, now.get(topic, 0)) for topic, count in counts.items()}

    async def _claim(self) -> _Claim:
        # Whoever sleeps from here on claims nothing later. And whoever has slept since the round
        # began must know of it before it claims anything.
        clock_ms = self._wall_ms()
        self._quiet.tick(time.monotonic(), clock_ms)
        quiet = {t: await self._quiet_ms(t, f.sources) for t, f in self._folders.items()}
        return _Claim(clock_ms, quiet)

    async def _make_frames(self, claim: _Claim, before: asyncio.Task[Any] | None) -> _Flush:
        """Frames of all that was fetched before, when it is folded; and of nothing later."""
        counts = await self._partition_counts()
        if before is not None:
            await before
        sent, self._sent = self._sent, []
        frames: list[tuple[int, bytes]] = []
        commits: dict[TopicPartition, OffsetAndMetadata] = {}
        loop = asyncio.get_running_loop()
        for topic, folder in self._folders.items():
            if not folder.sources:
                continue
            count = max(counts.get(topic, 0), len(folder.sources))
            frames += await loop.run_in_executor(
                self._executor, folder.flush, claim.clock_ms, claim.quiet_ms[topic], count
            )
            for partition, commit in folder.commits().items():
                tp = TopicPartition(topic, partition)
                commits[tp] = OffsetAndMetadata(commit.offset, commit.metadata)
            for partition, source in folder.sources.items():
                self._progress.watermark(topic, partition, source.watermark_ms)
        return _Flush(frames, commits, sent)

    async def _left(self, tp: TopicPartition) -> int | None:
        """How many records of a partition are not read, as far as the broker has told; None when
        that is not known, or the partition is just being taken away."""
        try:
            position = await self._consumer.position(tp)
            end = self._consumer.highwater(tp)
        except (IllegalStateError, AssertionError):
            return None
        return None if end is None else max(0, end - position)

    async def _is_at_end(self) -> bool:
        """Whether all that the broker has told of is read."""
        for topic, folder in self._folders.items():
            for partition in folder.sources:
                if await self._left(TopicPartition(topic, partition)) != 0:
                    return False
        return True

    async def _quiet_ms(self, topic: str, partitions: Iterable[int]) -> dict[int, int | None]:
        quiet: dict[int, int | None] = {}
        for partition in partitions:
            tp = TopicPartition(topic, partition)
            left = await self._left(tp)
            try:
                answered_ms = self._consumer.last_poll_timestamp(tp)
            except (IllegalStateError, AssertionError):  # just being taken away
                quiet[partition] = None
                continue
            if left is not None:
                self._progress.lag(topic, partition, left)
            quiet[partition] = self._quiet.quiet_ms(tp, answered_ms if left == 0 else None)
        return quiet

    async def _tell(self, framing: asyncio.Task[_Flush], started: float) -> None:
        """Send frames, wait for the acknowledgements, then commit. A lost membership is no failure:
        the group gives the partitions out again, and whoever gets them reads from the last commit.

        What is committed already is committed again: the answer says that we are in the group
        still, and sooner than a heartbeat's when it is being rearranged.
        """
        flush = await framing
        if self._line is framing:  # nobody waits for it, and it would hold its frames
            self._line = None
        await acknowledged(await self._publisher.frames(flush.frames))
        await self._side_outputs.settle(flush.sent)
        self._progress.flushed(len(flush.frames), time.monotonic() - started)
        if not flush.commits:
            return
        try:
            await asyncio.wait_for(self._consumer.commit(flush.commits), COMMIT_TIMEOUT_SECONDS)
        except (CommitFailedError, IllegalStateError):
            log.info("offsets not committed: the group is being rearranged")
        except TimeoutError:
            log.warning("offsets not committed within %.0f s", COMMIT_TIMEOUT_SECONDS)
        else:
            self._quiet.alive(time.monotonic())

    # ---- rebalances

    async def give_back(self, partitions: Iterable[TopicPartition]) -> None:
        """Flush, commit and forget partitions that are being taken away."""
        self._make_way()
        async with self._lock:
            lost = [tp for tp in partitions if tp.partition in self._folders[tp.topic].sources]
            if not lost:
                return
            try:
                await self._flush_all()
            except Exception as error:
                self._failure = error
            for tp in lost:
                self._folders[tp.topic].revoke(tp.partition)
                self._quiet.forget(tp)
                self._progress.forget(tp.topic, tp.partition)
            log.info("gave back %d source partitions", len(lost))

    async def take_on(self, partitions: Sequence[TopicPartition]) -> None:
        """Go on with partitions from where their last owner committed."""
        self._make_way()
        async with self._lock:
            try:
                if self._line is not None:
                    await self._line
                await self._resume(partitions)
            except Exception as error:
                self._failure = error

    async def _resume(self, partitions: Sequence[TopicPartition]) -> None:
        if not partitions:
            log.info("no source partitions for this worker: others hold them all")
            return
        begins = await find_begins(
            self._settings, self._frames_topic, self._admin, self._consumer, partitions
        )
        for tp in partitions:
            begin = begins[tp]
            if (words := in_words(tp, begin)) is not None:
                log.log(*words)
            self._progress.missed(tp.topic, tp.partition, begin.finding.missed)
            self._folders[tp.topic].assign(tp.partition, begin.resume)
            self._consumer.seek(tp, begin.resume.offset)
            self._quiet.begin(tp, self._wall_ms())
        self._quiet.alive(time.monotonic())
        self._progress.assigned(len(partitions))
        log.info("took on %d source partitions", len(partitions))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # untyped
    """Passes rebalances on. aiokafka swallows what a listener raises: `Ingest` keeps its own."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._ingest.give_back(sorted(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._ingest.take_on(sorted(assigned))


def make_batch(topic: str, parts: Sequence[tuple[int, Fetched]]) -> Batch:
    """One batch of a topic's records, in the order (partition, offset) that they come in."""
    sizes = [len(records) for _, records in parts]
    return Batch(
        topic,
        list(chain.from_iterable(records.values for _, records in parts)),
        np.repeat(np.array([partition for partition, _ in parts], np.int32), sizes),
        np.concatenate([records.offsets for _, records in parts]),
        np.concatenate([records.timestamps for _, records in parts]),
    )
