"""Gives KPIs with `backfill` their past, beside the live flow: in a thread of its own, with a
consumer that has no group and commits nothing.

A job reads one topic, for all KPIs of it whose past is due in the state partitions held here
(`agent.core.waiting`), from where what was asked for begins up to the offsets that decide it. What
closes is told as it comes, under the keys that it always has. The rows go to the mergers, which
take them on between two frames. What comes between (a rebalance, a crash, new rules) ends the
job, and it begins anew from nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent.core.backfill import Backfill, Wanted, begin_ms
from agent.core.decode.decoder import Batch
from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted
from agent.core.state.rows import Row
from agent.errors import EnvironmentFault
from agent.kafka.batch_fetch import Fetched, by_batch
from agent.kafka.client import connection
from agent.kafka.history import Begin, begins_of
from agent.kafka.publish import Publisher, acknowledged
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
    """One reading of a topic: `cuts` by KPI and `places` its state partitions; `covered` is up to
    where to read, by source partition."""

    topic: str
    cuts: Mapping[str, int]
    places: Mapping[str, frozenset[int]]
    covered: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Filled:
    """A KPI's past for one state partition, to be adopted by its merger."""

    kpi: str
    cut_ms: int
    sources: Collection[int]
    rows: list[Row]


class Backfiller:
    """The backfills of this worker.

    `held` gives its mergers by state partition, `at_rest` returns when nobody works on one; `give`
    lets one adopt what was read for it, and returns when it has.
    """

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        publisher: Publisher,
        state_partitions: int,
        progress: MergeProgress,
        held: Callable[[], Mapping[int, Merger]],
        at_rest: Callable[[], Awaitable[None]],
        give: Callable[[int, Filled], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._publisher = publisher
        self._state_partitions = state_partitions
        self._progress = progress
        self._held = held
        self._at_rest = at_rest
        self._give = give
        self._asked = [name for name, k in plan.kpis.items() if k.backfill_ms is not None]

    async def run(self) -> None:
        """Look for what is due, and fill it in, until cancelled."""
        while self._asked:
            await asyncio.sleep(LOOK_SECONDS)
            await self._at_rest()
            mergers = self._held()
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
                    "the past of %s can't be read, once more in %.0f s: %s",
                    _names(job), RETRY_SECONDS, error,
                )  # fmt: skip
                await asyncio.sleep(RETRY_SECONDS)

    def _due(self, mergers: Mapping[int, Merger]) -> Job | None:
        """The KPIs of one topic whose past is due wherever they wait."""
        found: dict[str, dict[int, tuple[int, Mapping[int, int]]]] = {}
        for p, merger in mergers.items():
            for due in merger.pending_backfills():
                found.setdefault(due.kpi, {})[p] = due.handoff_ms, due.covered
        everywhere = {
            kpi: places
            for kpi, places in found.items()
            if all(p in places for p, m in mergers.items() if kpi in m.waiting_kpis)
        }
        if not everywhere:
            return None
        topic = self._topic(next(iter(everywhere)))
        of_topic = {k: places for k, places in everywhere.items() if self._topic(k) == topic}
        covered: dict[int, int] = {}
        for places in of_topic.values():
            for _, upto in places.values():
                for source, offset in upto.items():
                    covered[source] = max(covered.get(source, 0), offset)
        return Job(
            topic,
            {kpi: max(cut for cut, _ in places.values()) for kpi, places in of_topic.items()},
            {kpi: frozenset(places) for kpi, places in of_topic.items()},
            covered,
        )

    def _topic(self, kpi: str) -> str:
        return self._plan.contracts[self._plan.kpis[kpi].contract or ""].topic

    async def _fill(self, job: Job, mergers: Mapping[int, Merger]) -> None:
        mergers = dict(mergers)
        names, started, over = _names(job), time.monotonic(), threading.Event()
        log.info("reading the past of %s from topic %s", names, job.topic)
        loop = asyncio.get_running_loop()

        def tell(closings: Emitted) -> None:
            telling = asyncio.run_coroutine_threadsafe(self._tell(closings), loop)
            while not over.is_set() and not _done(telling):
                pass
            if telling.done():
                telling.result()

        def note(done: int, whole: int) -> None:
            for name in job.cuts:
                ratio = min(0.99, done / whole) if whole else 0.0
                loop.call_soon_threadsafe(self._progress.backfill, name, done, ratio)

        reading = _Reading(
            self._settings, self._plan, job, self._state_partitions, tell, note, over
        )
        work = asyncio.ensure_future(asyncio.to_thread(reading.run))
        try:
            while not work.done():
                await asyncio.wait([work], timeout=LOOK_SECONDS)
                now = self._held()
                if not work.done() and any(now.get(p) is not m for p, m in mergers.items()):
                    log.info("the past of %s is not read on: the group was rearranged", names)
                    over.set()
                    await asyncio.wait([work])
                    work.exception()  # what it says of a reading that is over does not matter
                    return
        finally:
            over.set()
            await asyncio.wait([work])
        found = work.result()
        log.info(
            "read the past of %s: %d rows of state from %d records in %.0f s",
            names, sum(map(len, found.values())), reading.records, time.monotonic() - started,
        )  # fmt: skip
        now = self._held()
        ours = {
            place: one for place, one in found.items() if now.get(place[1]) is mergers[place[1]]
        }
        await asyncio.gather(
            *(
                self._give(p, Filled(kpi, job.cuts[kpi], job.covered.keys(), rows))
                for (kpi, p), rows in ours.items()
            )
        )
        await self._at_rest()
        for kpi in job.cuts:
            if not any(kpi in merger.waiting_kpis for merger in mergers.values()):
                log.info("%s has its past, and goes on from there", kpi)

    async def _tell(self, closings: Emitted) -> None:
        await acknowledged(await self._publisher.closings(self._plan, closings))


class _Reading:
    """The work of one job, on a thread and an event loop of its own."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        job: Job,
        state_partitions: int,
        tell: Callable[[Emitted], None],
        note: Callable[[int, int], None],
        over: threading.Event,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._job = job
        self._state_partitions = state_partitions
        self._tell = tell
        self._note = note
        self._over = over
        self._paused: set[TopicPartition] = set()
        self.records = 0

    def run(self) -> Rows:
        """Read to the end; the rows by KPI and state partition, none when it is over before."""
        return asyncio.run(self._run())

    async def _run(self) -> Rows:
        consumer = AIOKafkaConsumer(
            **{**connection(self._settings), "client_id": f"{self._settings.group}-backfill"},
            group_id=None, enable_auto_commit=False, isolation_level="read_committed",
            auto_offset_reset="earliest",
        )  # fmt: skip
        await consumer.start()
        try:
            by_batch(consumer)
            places = [TopicPartition(self._job.topic, p) for p in sorted(self._job.covered)]
            consumer.assign(places)
            now_ms = time.time_ns() // 1_000_000
            asked = {
                name: begin_ms(kpi, now_ms - (kpi.backfill_ms or 0))
                for name, kpi in self._plan.kpis.items()
                if name in self._job.cuts
            }
            begins = await begins_of(consumer, self._plan, places, min(asked.values()))
            past = self._backfill(asked, begins)
            return await self._read(consumer, past, begins)
        finally:
            await consumer.stop()

    def _backfill(
        self, asked: Mapping[str, int], begins: Mapping[TopicPartition, Begin]
    ) -> Backfill:
        job = self._job
        short = [b.whole_from_ms for b in begins.values() if b.whole_from_ms is not None]
        if short and max(short) > min(asked.values()):
            log.warning(
                "topic %s does not reach back as far as the backfill of %s: it begins with the "
                "first whole window that is there",
                job.topic, _names(job),
            )  # fmt: skip
        wanted = [
            Wanted(name, max([from_ms, *short]), job.cuts[name], job.places[name])
            for name, from_ms in asked.items()
        ]
        return Backfill(self._plan, job.topic, wanted, job.covered, self._state_partitions)

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        past: Backfill,
        begins: Mapping[TopicPartition, Begin],
    ) -> Rows:
        ends = {place: self._job.covered[place.partition] for place in begins}
        whole = sum(max(ends[place] - begin.offset, 0) for place, begin in begins.items())
        reading = set(begins)
        for place, begin in begins.items():
            consumer.seek(place, min(begin.offset, ends[place]))
        worked = 0.0
        while not self._over.is_set():
            for place in list(reading):
                # The position also passes what holds no record: markers of transactions, gaps.
                if await consumer.position(place) >= ends[place]:
                    reading.discard(place)
                    consumer.pause(place)
                    past.end(place.partition)
            started = time.monotonic()
            closings = past.flush()
            worked += time.monotonic() - started
            self._tell(closings)
            self._note(self.records, whole)
            if not reading:
                return past.rows()
            await asyncio.sleep(worked * REST)
            self._keep_in_step(consumer, past, reading)
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
            started = time.monotonic()
            for place, records in fetched.items():
                if place in reading:
                    past.add(batch := _batch(place, records, ends[place]))
                    self.records += len(batch.values)
            worked = time.monotonic() - started
        return {}

    def _keep_in_step(
        self, consumer: AIOKafkaConsumer, past: Backfill, reading: set[TopicPartition]
    ) -> None:
        """Read on only where the slowest sources are."""
        times = {place: past.watermark_ms(place.partition) for place in reading}
        known = [at for at in times.values() if at is not None]
        least = min(known) if len(known) == len(times) else None
        ahead = {
            place
            for place, at in times.items()
            if at is not None and least is not None and at > least + AHEAD_MS
        }
        consumer.pause(*ahead - self._paused)
        consumer.resume(*(self._paused & reading) - ahead)
        self._paused = ahead


def _batch(place: TopicPartition, records: Fetched, end: int) -> Batch:
    """The records before an offset."""
    offsets = records.offsets
    count = int((offsets < end).sum())
    return Batch(
        place.topic,
        records.values[:count],
        np.full(count, place.partition, np.int32),
        offsets[:count],
        records.timestamps[:count],
    )


def _names(job: Job) -> str:
    return ", ".join(sorted(job.cuts))


def _done(telling: Future[None]) -> bool:
    """Whether it is done within a moment."""
    return bool(wait([telling], timeout=LOOK_SECONDS).done)
