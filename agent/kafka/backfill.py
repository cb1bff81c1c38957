"""The past of KPIs with `backfill`, read beside the live flow: in a thread of its own, by a
consumer that has no group and commits nothing.

A job reads the topics of a contract, for all KPIs of them whose past is due in the state
partitions held here (`agent.core.merge.backfill_buffer`), from where what was asked for begins up
to the offsets that decide it. What closes is published as it comes, under its usual keys. The rows
go to the mergers, which adopt them between two frames. What interrupts a job (a rebalance, a crash,
new rules) ends it, and it starts over from nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent.core.backfill import Backfill, BackfillRequest, begin_ms
from agent.core.fold.lookup_topics import LookupTopics
from agent.core.merge.merger import Merger
from agent.core.merge.watermark import Source
from agent.core.model.events import Topics
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted
from agent.core.state.rows import Row
from agent.errors import EnvironmentFault
from agent.kafka.batch_fetch import enable_batch_fetch
from agent.kafka.client import connection
from agent.kafka.fetched import make_batch
from agent.kafka.held_partitions import BackfillRows, HeldPartitions
from agent.kafka.history import Begin, begins_of
from agent.kafka.lookup_reader import read_lookups
from agent.kafka.publish import Publisher, acknowledged
from agent.kafka.schema_registry import SchemaRegistry
from agent.kafka.stage_events import MergeProgress
from agent.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
RETRY_SECONDS = 10.0
POLL_MS = 1_000
MOST_RECORDS = 20_000
REST = 1.0
"""How long the thread rests after a batch, in times of what the batch took: the live flow comes
first (docs/decisions/0024-backfill-beside-the-live-flow.md)."""
AHEAD_MS = 6 * 3_600_000
"""How far (event time) a source may be ahead of the slowest: what lies between is in memory."""

Rows = Mapping[tuple[str, int], list[Row]]


@dataclass(frozen=True, slots=True)
class Job:
    """One reading of `topics`: by KPI, `handoffs` are where the live flow takes over (ms),
    `partitions` the state partitions that need it; `covered` is up to where to read, by source
    partition."""

    topics: Topics
    handoffs: Mapping[str, int]
    partitions: Mapping[str, frozenset[int]]
    covered: Mapping[Source, int]


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
        self._asked = [name for name, k in plan.kpis.items() if k.backfill_ms is not None]

    async def run(self) -> None:
        """Look for what is due, and read it, until cancelled."""
        while self._asked:
            await asyncio.sleep(LOOK_SECONDS)
            await self._held.at_rest()
            mergers = self._held.mergers()
            for name in self._asked if mergers else ():
                waits = any(name in merger.waiting_kpis for merger in mergers.values())
                self._progress.backfill(name, 0, 0.0 if waits else 1.0)
            job = self._due(mergers)
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

    def _due(self, mergers: Mapping[int, Merger]) -> Job | None:
        """The KPIs of the same topics whose past is due wherever they wait."""
        due_in: dict[str, dict[int, tuple[int, Mapping[Source, int]]]] = {}
        for p, merger in mergers.items():
            for due in merger.pending_backfills():
                due_in.setdefault(due.kpi, {})[p] = due.handoff_ms, due.covered
        everywhere = {
            kpi: partitions
            for kpi, partitions in due_in.items()
            if all(p in partitions for p, m in mergers.items() if kpi in m.waiting_kpis)
        }
        if not everywhere:
            return None
        topics = self._topics(next(iter(everywhere)))
        of_topics = {k: by_p for k, by_p in everywhere.items() if self._topics(k) == topics}
        covered: dict[Source, int] = {}
        for by_p in of_topics.values():
            for _, upto in by_p.values():
                for source, offset in upto.items():
                    covered[source] = max(covered.get(source, 0), offset)
        return Job(
            topics,
            {kpi: max(cut for cut, _ in by_p.values()) for kpi, by_p in of_topics.items()},
            {kpi: frozenset(by_p) for kpi, by_p in of_topics.items()},
            covered,
        )

    def _topics(self, kpi: str) -> Topics:
        return self._plan.contracts[self._plan.kpis[kpi].contract or ""].topics

    async def _fill(self, job: Job, mergers: Mapping[int, Merger]) -> None:
        """Read a past and hand it over, unless the mergers change meanwhile."""
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

    async def _read(self, job: Job, mergers: Mapping[int, Merger]) -> Rows | None:
        """The rows of a past, read by a thread; None where a merger was given up before."""
        over, loop = threading.Event(), asyncio.get_running_loop()

        def publish(emitted: Emitted) -> None:
            sending = asyncio.run_coroutine_threadsafe(self._publish(emitted), loop)
            while not over.is_set() and not _done(sending):
                pass
            if sending.done():
                sending.result()

        def report(done: int, whole: int) -> None:
            for name in job.handoffs:
                ratio = min(0.99, done / whole) if whole else 0.0
                loop.call_soon_threadsafe(self._progress.backfill, name, done, ratio)

        reading = _Reading(
            self._settings, self._plan, job, self._state_partitions, publish, report, over
        )
        work = asyncio.ensure_future(asyncio.to_thread(reading.run))
        try:
            while not work.done():
                await asyncio.wait([work], timeout=LOOK_SECONDS)
                now = self._held.mergers()
                if not work.done() and any(now.get(p) is not m for p, m in mergers.items()):
                    over.set()
                    await asyncio.wait([work])
                    work.exception()  # a failure of a reading that is over does not matter
                    return None
        finally:
            over.set()
            await asyncio.wait([work])
        return work.result()

    async def _publish(self, emitted: Emitted) -> None:
        await acknowledged(await self._publisher.publish_emitted(self._plan, emitted))


class _Reading:
    """The work of one job, on a thread and an event loop of its own."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        job: Job,
        state_partitions: int,
        publish: Callable[[Emitted], None],
        report: Callable[[int, int], None],
        over: threading.Event,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._job = job
        self._state_partitions = state_partitions
        self._publish = publish
        self._report = report
        self._over = over
        self._paused: set[TopicPartition] = set()
        self._registry = SchemaRegistry(settings, plan)
        self.records = 0

    def run(self) -> Rows:
        """Read to the end; the rows by KPI and state partition, none when it is over before."""
        try:
            return asyncio.run(self._run())
        finally:
            self._registry.close()

    async def _run(self) -> Rows:
        consumer = AIOKafkaConsumer(
            **{**connection(self._settings), "client_id": f"{self._settings.group}-backfill"},
            group_id=None, enable_auto_commit=False, isolation_level="read_committed",
            auto_offset_reset="earliest",
        )  # fmt: skip
        await consumer.start()
        try:
            enable_batch_fetch(consumer)
            tps = [TopicPartition(*source) for source in sorted(self._job.covered)]
            consumer.assign(tps)
            now_ms = time.time_ns() // 1_000_000
            asked = {
                name: begin_ms(kpi, now_ms - (kpi.backfill_ms or 0))
                for name, kpi in self._plan.kpis.items()
                if name in self._job.handoffs
            }
            begins = await begins_of(consumer, self._plan, tps, min(asked.values()))
            lookups = await read_lookups(self._settings, self._plan)
            past = self._backfill(asked, begins, lookups)
            return await self._read(consumer, past, begins)
        finally:
            await consumer.stop()

    def _backfill(
        self,
        asked: Mapping[str, int],
        begins: Mapping[TopicPartition, Begin],
        lookups: LookupTopics,
    ) -> Backfill:
        job = self._job
        short = [b.whole_from_ms for b in begins.values() if b.whole_from_ms is not None]
        if short and max(short) > min(asked.values()):
            log.warning(
                "topic %s does not reach back as far as the backfill of %s: it starts with the "
                "first complete window",
                job.topics, _names(job),
            )  # fmt: skip
        wanted = [
            BackfillRequest(name, max([from_ms, *short]), job.handoffs[name], job.partitions[name])
            for name, from_ms in asked.items()
        ]
        return Backfill(self._plan, wanted, job.covered, self._state_partitions, lookups)

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        past: Backfill,
        begins: Mapping[TopicPartition, Begin],
    ) -> Rows:
        ends = {tp: self._job.covered[tp] for tp in begins}
        whole = sum(max(ends[tp] - begin.offset, 0) for tp, begin in begins.items())
        reading = set(begins)
        for tp, begin in begins.items():
            consumer.seek(tp, min(begin.offset, ends[tp]))
        worked = 0.0
        while not self._over.is_set():
            for tp in list(reading):
                # The position also passes what holds no record: markers of transactions, gaps.
                if await consumer.position(tp) >= ends[tp]:
                    reading.discard(tp)
                    consumer.pause(tp)
                    past.end(tp)
            started = time.monotonic()
            emitted = past.flush()
            worked += time.monotonic() - started
            self._publish(emitted)
            self._report(self.records, whole)
            if not reading:
                return past.rows()
            await asyncio.sleep(worked * REST)
            self._keep_in_step(consumer, past, reading)
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
            started = time.monotonic()
            for tp, records in fetched.items():
                if tp in reading:
                    within = records.before(ends[tp])
                    batch = make_batch(tp.topic, [(tp.partition, within)])
                    batch = await self._registry.with_schemas(batch)
                    past.add(batch)
                    self.records += len(batch.values)
            worked = time.monotonic() - started
        return {}

    def _keep_in_step(
        self, consumer: AIOKafkaConsumer, past: Backfill, reading: set[TopicPartition]
    ) -> None:
        """Read on only where the slowest sources are."""
        times = {tp: past.watermark_ms(tp) for tp in reading}
        known = [at for at in times.values() if at is not None]
        least = min(known) if len(known) == len(times) else None
        ahead = {
            tp
            for tp, at in times.items()
            if at is not None and least is not None and at > least + AHEAD_MS
        }
        consumer.pause(*ahead - self._paused)
        consumer.resume(*(self._paused & reading) - ahead)
        self._paused = ahead


def _names(job: Job) -> str:
    return ", ".join(sorted(job.handoffs))


def _done(sending: Future[None]) -> bool:
    """Whether it is done within a moment."""
    return bool(wait([sending], timeout=LOOK_SECONDS).done)
