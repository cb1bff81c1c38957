"""Backfills KPIs with `backfill` from their source topics, in a thread beside the live flow, with a
consumer that has no group and commits nothing.

A job reads the topics of one contract, for all KPIs over it that are due in the state partitions
held here (`agent.core.merge.backfill_buffer`): from the start of their backfill up to the offsets
where the live flow took over. Closed windows are published at once, under their usual keys. The
state rows go to the mergers, which adopt them between two frames. A rebalance, a crash or new rules
end a job; the next one starts from the beginning.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent import clock
from agent.core.backfill import Backfill, BackfillRequest, begin_ms
from agent.core.fold.lookup_topics import LookupTopics
from agent.core.merge.backfill_buffer import PendingBackfill
from agent.core.merge.merger import Merger
from agent.core.merge.missed_records import MissedRecords
from agent.core.merge.watermark import Source
from agent.core.model.events import Topics
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted
from agent.core.state.rows import Row
from agent.errors import EnvironmentFault
from agent.kafka.batch_fetch import enable_batch_fetch
from agent.kafka.client import new_admin, new_reader, running
from agent.kafka.fetched import make_batch
from agent.kafka.held_partitions import BackfillRows, HeldPartitions
from agent.kafka.history import Begin, begins_of
from agent.kafka.lookup_reader import read_lookups
from agent.kafka.publish import Publisher, acknowledged
from agent.kafka.schema_registry import SchemaRegistry
from agent.kafka.stage_events import MergeProgress
from agent.kafka.topic_ids import describe
from agent.settings import Settings

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
RETRY_SECONDS = 10.0
POLL_MS = 1_000
MOST_RECORDS = 20_000
REST_RATIO = 1.0
"""How long the thread rests after a batch, relative to the time that the batch took: the live flow
comes first (docs/decisions/0024-backfill-beside-the-live-flow.md)."""
MAX_AHEAD_MS = 6 * 3_600_000
"""How far a source may be ahead of the slowest in event time: everything between is in memory."""

RowsBySource = Mapping[tuple[str, int], list[Row]]


@dataclass(frozen=True, slots=True)
class Job:
    """One backfill from `topics`.

    By KPI: `handoffs` is the event time (ms) where the live flow takes over, `partitions` are the
    state partitions that wait for it, `missed` is what earlier logs of the topics had. `covered`:
    the offset up to which to read each source partition, in the logs with `topic_ids`.
    """

    topics: Topics
    handoffs: Mapping[str, int]
    partitions: Mapping[str, frozenset[int]]
    missed: Mapping[str, Sequence[MissedRecords]]
    covered: Mapping[Source, int]
    topic_ids: Mapping[str, str]


class Backfiller:
    """The backfills of the state partitions that this worker holds."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        publisher: Publisher,
        state_partitions: int,
        progress: MergeProgress,
        held: HeldPartitions,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._publisher = publisher
        self._state_partitions = state_partitions
        self._progress = progress
        self._held = held
        self._kpis = [name for name, kpi in plan.kpis.items() if kpi.backfill_ms is not None]

    async def run(self) -> None:
        """Backfill what is due, until cancelled."""
        while self._kpis:
            await asyncio.sleep(CHECK_SECONDS)
            await self._held.at_rest()
            mergers = self._held.mergers()
            for name in self._kpis if mergers else ():
                is_waiting = any(name in merger.waiting_kpis for merger in mergers.values())
                self._progress.backfill(name, 0, 0.0 if is_waiting else 1.0)
            job = self._due_job(mergers)
            if job is None:
                continue
            try:
                await self._fill(job, mergers)
            except (KafkaError, EnvironmentFault, OSError) as error:
                log.warning(
                    "backfill of %s failed, retrying in %.0f s: %s",
                    _names(job), RETRY_SECONDS, error,
                )  # fmt: skip
                await asyncio.sleep(RETRY_SECONDS)

    def _due_job(self, mergers: Mapping[int, Merger]) -> Job | None:
        """A job for the KPIs of the same topics that are due in every partition that waits for
        them; None where there are none."""
        due: dict[str, dict[int, PendingBackfill]] = {}
        for partition, merger in mergers.items():
            for pending in merger.pending_backfills():
                due.setdefault(pending.kpi, {})[partition] = pending
        due = {
            kpi: by_partition
            for kpi, by_partition in due.items()
            if all(p in by_partition for p, m in mergers.items() if kpi in m.waiting_kpis)
        }
        if not due:
            return None
        topics = self._topics(next(iter(due)))
        due = {
            kpi: by_partition for kpi, by_partition in due.items() if self._topics(kpi) == topics
        }
        covered: dict[Source, int] = {}
        for pending in (p for by_partition in due.values() for p in by_partition.values()):
            for source, offset in pending.covered.items():
                covered[source] = max(covered.get(source, 0), offset)
        return Job(
            topics,
            {kpi: max(p.handoff_ms for p in pending.values()) for kpi, pending in due.items()},
            {kpi: frozenset(pending) for kpi, pending in due.items()},
            {kpi: [m for p in pending.values() for m in p.missed] for kpi, pending in due.items()},
            covered,
            {
                topic: topic_id
                for by_partition in due.values()
                for pending in by_partition.values()
                for topic, topic_id in pending.topic_ids.items()
            },
        )

    def _topics(self, kpi: str) -> Topics:
        return self._plan.contracts[self._plan.kpis[kpi].contract or ""].topics

    async def _fill(self, job: Job, mergers: Mapping[int, Merger]) -> None:
        """Run a job and hand its rows to the mergers, unless the mergers change meanwhile."""
        mergers, started = dict(mergers), time.monotonic()
        log.info("backfill of %s: reading topic %s", _names(job), job.topics)
        rows_read = await self._read(job, mergers)
        if rows_read is None:
            log.info("backfill of %s paused: the group is rebalancing", _names(job))
            return
        log.info(
            "backfill of %s: read %d rows of state in %.0f s",
            _names(job), sum(map(len, rows_read.values())), time.monotonic() - started,
        )  # fmt: skip
        now = self._held.mergers()
        ours = {(kpi, p): rows for (kpi, p), rows in rows_read.items() if now.get(p) is mergers[p]}
        await asyncio.gather(
            *(
                self._held.fill(p, BackfillRows(kpi, job.handoffs[kpi], job.covered.keys(), rows))
                for (kpi, p), rows in ours.items()
            )
        )
        await self._held.at_rest()
        for kpi in job.handoffs:
            if not any(kpi in merger.waiting_kpis for merger in mergers.values()):
                log.info("backfill of %s is complete", kpi)

    async def _read(self, job: Job, mergers: Mapping[int, Merger]) -> RowsBySource | None:
        """Run a job in a thread; returns its rows, or None if a merger was released meanwhile."""
        cancelled, loop = threading.Event(), asyncio.get_running_loop()

        def publish(emitted: Emitted) -> None:
            sending = asyncio.run_coroutine_threadsafe(self._publish(emitted), loop)
            while not cancelled.is_set() and not _done(sending):
                pass
            if sending.done():
                sending.result()

        def report(done: int, total: int) -> None:
            for name in job.handoffs:
                ratio = min(0.99, done / total) if total else 0.0
                loop.call_soon_threadsafe(self._progress.backfill, name, done, ratio)

        run = _JobRun(
            self._settings, self._plan, job, self._state_partitions, publish, report, cancelled
        )
        work = asyncio.ensure_future(asyncio.to_thread(run.run))
        try:
            while not work.done():
                await asyncio.wait([work], timeout=CHECK_SECONDS)
                now = self._held.mergers()
                if not work.done() and any(now.get(p) is not m for p, m in mergers.items()):
                    cancelled.set()
                    await asyncio.wait([work])
                    work.exception()  # a failure of a cancelled run does not matter
                    return None
        finally:
            cancelled.set()
            await asyncio.wait([work])
        return work.result()

    async def _publish(self, emitted: Emitted) -> None:
        await acknowledged(await self._publisher.publish_emitted(self._plan, emitted))


class _JobRun:
    """The work of one job, on a thread and an event loop of its own."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        job: Job,
        state_partitions: int,
        publish: Callable[[Emitted], None],
        report: Callable[[int, int], None],
        cancelled: threading.Event,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._job = job
        self._state_partitions = state_partitions
        self._publish = publish
        self._report = report
        self._cancelled = cancelled
        self._paused: set[TopicPartition] = set()
        self._registry = SchemaRegistry(settings, plan)
        self.records = 0

    def run(self) -> RowsBySource:
        """Read to the end; returns the rows by KPI and state partition, none if cancelled."""
        try:
            return asyncio.run(self._run())
        finally:
            self._registry.close()

    async def _run(self) -> RowsBySource:
        # Records that are deleted meanwhile end the job, for another one.
        reader = new_reader(self._settings, name="backfill", auto_offset_reset="none")
        async with running(reader) as consumer:
            enable_batch_fetch(consumer)
            await self._check_topics()
            tps = [TopicPartition(*source) for source in sorted(self._job.covered)]
            consumer.assign(tps)
            now_ms = clock.now_ms()
            from_ms = {
                name: begin_ms(kpi, now_ms - (kpi.backfill_ms or 0))
                for name, kpi in self._plan.kpis.items()
                if name in self._job.handoffs
            }
            begins = await begins_of(consumer, self._plan, tps, min(from_ms.values()))
            lookups = await read_lookups(self._settings, self._plan)
            backfill = self._backfill(from_ms, begins, lookups)
            rows = await self._read(consumer, backfill, begins)
            await self._check_topics()
            return rows

    async def _check_topics(self) -> None:
        """Raise EnvironmentFault if a topic was created again since the live flow read it."""
        async with running(new_admin(self._settings)) as admin:
            described = await describe(admin, list(self._job.topic_ids))
        for topic, topic_id in self._job.topic_ids.items():
            if topic not in described or topic_id not in ("", described[topic].topic_id):
                raise EnvironmentFault(f"topic {topic} was deleted")

    def _backfill(
        self,
        from_ms: Mapping[str, int],
        begins: Mapping[TopicPartition, Begin],
        lookups: LookupTopics,
    ) -> Backfill:
        job = self._job
        complete_from = [
            begin.complete_from_ms
            for begin in begins.values()
            if begin.complete_from_ms is not None
        ]
        if complete_from and max(complete_from) > min(from_ms.values()):
            log.warning(
                "topic %s does not reach back as far as the backfill of %s: it starts with the "
                "first complete window",
                job.topics, _names(job),
            )  # fmt: skip
        requests = [
            BackfillRequest(
                name,
                max([at_ms, *complete_from]),
                job.handoffs[name],
                job.partitions[name],
                job.missed[name],
            )
            for name, at_ms in from_ms.items()
        ]
        return Backfill(self._plan, requests, job.covered, self._state_partitions, lookups)

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        backfill: Backfill,
        begins: Mapping[TopicPartition, Begin],
    ) -> RowsBySource:
        ends = {tp: self._job.covered[tp] for tp in begins}
        total = sum(max(ends[tp] - begin.offset, 0) for tp, begin in begins.items())
        reading = set(begins)
        for tp, begin in begins.items():
            consumer.seek(tp, min(begin.offset, ends[tp]))
        busy_seconds = 0.0
        while not self._cancelled.is_set():
            for tp in list(reading):
                # The position also passes what holds no record: markers of transactions, gaps.
                if await consumer.position(tp) >= ends[tp]:
                    reading.discard(tp)
                    consumer.pause(tp)
                    backfill.end(tp)
            started = time.monotonic()
            emitted = backfill.flush()
            busy_seconds += time.monotonic() - started
            self._publish(emitted)
            self._report(self.records, total)
            if not reading:
                return backfill.rows()
            await asyncio.sleep(busy_seconds * REST_RATIO)
            self._keep_in_step(consumer, backfill, reading)
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
            started = time.monotonic()
            for tp, records in fetched.items():
                if tp in reading:
                    within = records.before(ends[tp])
                    batch = make_batch(tp.topic, [(tp.partition, within)])
                    batch = await self._registry.with_schemas(batch)
                    backfill.add(batch)
                    self.records += len(batch.values)
            busy_seconds = time.monotonic() - started
        return {}

    def _keep_in_step(
        self, consumer: AIOKafkaConsumer, backfill: Backfill, reading: set[TopicPartition]
    ) -> None:
        """Pause the sources that are far ahead of the slowest in event time."""
        times = {tp: backfill.watermark_ms(tp) for tp in reading}
        known = [at for at in times.values() if at is not None]
        slowest = min(known) if len(known) == len(times) else None
        ahead = {
            tp
            for tp, at in times.items()
            if at is not None and slowest is not None and at > slowest + MAX_AHEAD_MS
        }
        consumer.pause(*ahead - self._paused)
        consumer.resume(*(self._paused & reading) - ahead)
        self._paused = ahead


def _names(job: Job) -> str:
    return ", ".join(sorted(job.handoffs))


def _done(sending: Future[None]) -> bool:
    """Whether it is done within CHECK_SECONDS."""
    return bool(wait([sending], timeout=CHECK_SECONDS).done)
