"""A worker of the simulation: the order of work of `agent.kafka`, one small step at a time.

Every method ends where a crash, a sleep or a rebalance may come, so the driver can cut the work
between any two of them. A step of one that has lost its partitions without knowing is a zombie's.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from agent.core.backfill import Backfill, BackfillRequest
from agent.core.fold.folder import Commit, Resume
from agent.core.merge.backfill_buffer import PendingBackfill
from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted
from agent.kafka.frame_batches import join
from agent.kafka.idleness import IdleDetector
from agent.kafka.ingest_assignment import (
    SourceLog,
    begin_at,
    epoch_of_log,
    last_frames,
    needs_last_frame,
)
from tests.core.folders import Folders, Record, batch_of_places
from tests.simulation.broker import Broker, Disk, Published, Write, items

SESSION_MS = 10_000
FLUSH_SECONDS = 4.0  # between two flushes, in most cases


class IngestSide:
    """Stage 1 of a worker: fetch, fold, flush, deliver, commit, in the order of `kafka.ingest`.
    Its clock is ahead of the brokers' by `ahead_ms`."""

    def __init__(self, plan: Plan, broker: Broker, rng: random.Random, ahead_ms: int = 0) -> None:
        self.broker, self.rng, self.ahead_ms = broker, rng, ahead_ms
        self.folders = Folders(plan, broker.state_partitions, broker.places)
        self.idleness = IdleDetector(SESSION_MS / 1000, FLUSH_SECONDS)
        self.reads: dict[int, int] = {}
        self.ends: dict[int, tuple[int, int]] = {}  # by partition: log's end, when it was seen
        self.stale_ends: dict[int, int] = {}  # answers that came before a sleep
        self.sending: list[tuple[int, bytes]] = []
        self.commits: dict[int, Commit] | None = None
        self.generation = 0
        self.ended: list[int] = []  # partitions to begin again with: the run of the stage has ended

    @property
    def clock_ms(self) -> int:
        """What its clock says."""
        return self.broker.now_ms + self.ahead_ms

    def assign(self, partitions: Iterable[int], generation: int) -> None:
        """Go on with partitions from what is committed."""
        self.generation = generation
        self.ended = []
        for p in partitions:
            resume = self._begin_at(p)
            self.folders.assign(p, resume)
            self.reads[p] = resume.offset
            self.idleness.begin(self._tp(p), self.clock_ms)
        self.idleness.confirm_membership(self.broker.now_ms / 1000)

    def _begin_at(self, partition: int) -> Resume:
        """Where `kafka.ingest_assignment` goes on."""
        broker = self.broker
        commit = broker.commits.get(partition)
        resume = Resume.parse(commit.offset, commit.metadata) if commit else None
        topic_id = broker.topic_id(partition)
        log = SourceLog(topic_id, broker.starts[partition], broker.end(partition, broker.now_ms))
        frames = (
            last_frames([message for _, message in join((0, f) for f in broker.frames[0])])
            if needs_last_frame(resume, log)
            else {}
        )
        tp = self._tp(partition)
        epoch = epoch_of_log(frames, tp.topic, topic_id)
        begin = begin_at(resume, frames.get(tp), log, epoch).resume
        if resume is not None and begin.epoch > resume.epoch:
            # Read by a worker that died, and perhaps not sent to all state partitions.
            broker.gone += broker.read(partition, resume.covered, begin.covered)
        return begin

    def _tp(self, source: int) -> TopicPartition:
        return TopicPartition(*self.broker.places[source])

    def go_on_behind_gaps(self, generation: int) -> None:
        """Positions that were deleted end the run of the stage: what was read before is committed,
        and the next run finds out what was missed. So does the run after one that a topic has ended
        which was created again."""
        if self.generation == generation and self.ended:
            self.assign(self.ended, generation)
        if self.generation == generation and self._behind_start():
            self.settle(generation)
            gone = self._behind_start()
            self.revoke(gone)
            self.assign(gone, generation)

    def _behind_start(self) -> list[int]:
        return [p for p, at in self.reads.items() if at < self.broker.starts[p]]

    def revoke(self, partitions: Iterable[int]) -> None:
        """Forget partitions."""
        for p in partitions:
            self.folders.revoke(p)
            self.idleness.forget(self._tp(p))
            del self.reads[p]
            self.ends.pop(p, None)

    def sleep(self) -> None:
        """Fetches that were answered before a sleep are processed after it, as if fresh."""
        if self.rng.random() < 0.5:
            self.stale_ends = {p: self.broker.end(p, self.broker.now_ms) for p in self.reads}

    def tick(self) -> None:
        """One round of the loop, as the idle detector sees it."""
        self.idleness.tick(self.broker.now_ms / 1000, self.clock_ms)

    def fetch(self, cut_off: frozenset[int], most: int = 1_000_000) -> None:
        """Read what is there (up to `most` a partition) and fold it; `cut_off` can't be reached."""
        records: list[Record] = []
        now = self.broker.now_ms
        for p, begin in sorted(self.reads.items()):
            if p in cut_off or begin < self.broker.starts[p]:
                continue
            end = min(self.stale_ends.get(p, 1 << 60), self.broker.end(p, now))
            self.ends[p] = (end, self.clock_ms)
            chunk = self.broker.read(p, begin, min(end, begin + most))
            if chunk:
                records += [(p, begin + i, r.appended_ms, r.value) for i, r in enumerate(chunk)]
                self.reads[p] = begin + len(chunk)
                self.idleness.received(self._tp(p), self.clock_ms)
        self.stale_ends = {}
        if records:
            self._fold(records)

    def _fold(self, records: list[Record]) -> None:
        published = {p: self.folders.source(p).sent_covered for p in self.reads}
        verdicts = self.broker.history.verdicts
        added = self.folders.add(records)
        if self.broker.has_gaps:
            return  # what was deleted may have decided otherwise
        expected = [verdicts[p][o] for p, o, *_ in records if o >= published[p]]
        counts = dict.fromkeys(expected, 0)
        for (outcome, _, _), number in (x for of in added for x in of.counts.items()):
            counts[outcome] = counts.get(outcome, 0) + number
            self.broker.outcomes[outcome] += number
        wanted = {outcome: expected.count(outcome) for outcome in expected}
        assert counts == wanted, f"outcomes {counts}, by the log {wanted}"

    def flush(self) -> None:
        """Make frames, unless the last ones are still under way."""
        if self.commits is not None:
            return
        if self._reads_another_log():  # what was fetched may be of either
            self.ended = list(self.reads)
            self.revoke(self.ended)
            return
        quiet: dict[int, int | None] = {}
        for p in self.reads:
            end, seen_ms = self.ends.get(p, (1 << 60, 0))
            quiet[p] = self.idleness.idle_ms(self._tp(p), seen_ms if self.reads[p] >= end else None)
        count = self.broker.partitions(self.broker.now_ms)
        self.sending = self.folders.flush(self.clock_ms, quiet, count)
        self.commits = self.folders.commits()

    def _reads_another_log(self) -> bool:
        """Whether a topic was created again."""
        return any(self.folders.source(p).topic_id != self.broker.topic_id(p) for p in self.reads)

    def deliver(self, most: int) -> bool:
        """Let some frames reach the log, now and then twice, as a producer that never learned of
        the first time sends them; True once all are there."""
        batch, self.sending = self.sending[:most], self.sending[most:]
        for target, message in batch:
            self.broker.frames[target].append(message)
        if batch and self.rng.random() < 0.05:
            for target, message in batch:
                self.broker.frames[target].append(message)
        return not self.sending

    def commit(self, generation: int, lost: bool = False) -> None:
        """Commit what was delivered; the group refuses a member that it has dropped."""
        if self.commits is not None and not self.sending:
            if self.generation == generation:
                if not lost:
                    self.broker.commits.update(self.commits)
                self.idleness.confirm_membership(self.broker.now_ms / 1000)
            self.commits = None

    def settle(self, generation: int) -> None:
        """Flush, deliver and commit everything now."""
        for _ in range(2):
            self.deliver(1_000_000)
            self.commit(generation)
            self.flush()
        self.deliver(1_000_000)
        self.commit(generation)


@dataclass
class HeldPartition:
    """One state partition that a worker holds, and the round under way."""

    merger: Merger
    read: int
    generation: int
    emitted: list[Emitted] = field(default_factory=list)
    rows: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    written: list[tuple[int, Write]] = field(default_factory=list)
    unpublished: list[Published] = field(default_factory=list)
    needed: int | None = None
    high: int = -1
    filled: list[tuple[PendingBackfill, list[tuple[bytes, bytes]]]] = field(default_factory=list)


class MergeSide:
    """Stage 2 of a worker: apply, write rows, tell, acknowledge, in the order of `kafka.app`."""

    def __init__(
        self, plan: Plan, broker: Broker, rng: random.Random, disk: Disk | None = None
    ) -> None:
        self.plan, self.broker, self.rng, self.disk = plan, broker, rng, disk
        self.partitions: dict[int, HeldPartition] = {}

    def assign(self, partitions: Iterable[int], generation: int) -> None:
        """Build the mergers again from the table."""
        self.partitions = {}
        for p in partitions:
            merger = Merger(self.plan, p, self.broker.state_partitions)
            disk = self.disk or Disk()
            merger.restore(disk.recovered(p, self.broker.changelog[p]))
            self.partitions[p] = HeldPartition(merger, self.broker.positions.get(p, 0), generation)

    def apply(self, partition: int, most: int) -> None:
        """Apply some frames, unless a round is under way."""
        state = self.partitions[partition]
        log = self.broker.frames[partition]
        if state.needed is not None or state.read >= len(log):
            return
        stop = min(len(log), state.read + most)
        for position in range(state.read, stop):
            emitted = state.merger.apply(log[position], position)
            state.high = position
            if emitted:
                self.broker.late_partials += emitted.late
                state.emitted.append(emitted)
        state.read = stop
        state.needed = state.merger.needed_position()
        state.rows = state.merger.drain_rows()
        state.unpublished = items(state.emitted, self.rng)
        state.emitted = []

    def backfill(self, partition: int) -> None:
        """Let the merger adopt the pasts that were read for it, or read those that are due: both
        between two rounds, and a crash in between loses them."""
        state = self.partitions[partition]
        if state.needed is not None:
            return
        filled, state.filled = state.filled, []
        for due, rows in filled:
            if state.merger.adopt(due.kpi, due.handoff_ms, due.covered, rows):
                key = due.kpi, partition
                self.broker.handoffs[key] = min(
                    due.handoff_ms, self.broker.handoffs.get(key, due.handoff_ms)
                )
        for due in state.merger.pending_backfills():
            if all(id_ == self.broker.id_of(topic) for topic, id_ in due.topic_ids.items()):
                state.filled.append((due, self._past(due, partition)))

    def _past(self, due: PendingBackfill, partition: int) -> list[tuple[bytes, bytes]]:
        """Read the logs up to where they decide the past, in portions; tell what closes."""
        wanted = BackfillRequest(due.kpi, None, due.handoff_ms, (partition,), due.missed)
        past = Backfill(self.plan, [wanted], due.covered, self.broker.state_partitions)
        reads = dict.fromkeys(due.covered, 0)
        while reads:
            p = self.rng.choice(sorted(reads))
            stop = min(due.covered[p], reads[p] + self.rng.choice([1, 7, 100]))
            chunk = self.broker.read(self.broker.places.index(p), reads[p], stop)
            if chunk:
                records = [
                    (p[1], at, r.appended_ms, r.value) for at, r in enumerate(chunk, reads[p])
                ]
                past.add(batch_of_places(p[0], records))
            reads[p] = stop
            if stop == due.covered[p]:
                del reads[p]
                past.end(p)
            if self.rng.random() < 0.3:
                self.broker.published += items([past.flush()], self.rng)
        self.broker.published += items([past.flush()], self.rng)
        return past.rows()[due.kpi, partition]

    def write(self, partition: int, most: int) -> None:
        """Let some rows of the round reach the changelog."""
        state = self.partitions[partition]
        batch, state.rows = state.rows[:most], state.rows[most:]
        log = self.broker.changelog[partition]
        for key, row in batch:
            state.written.append((len(log), (key, state.high, row)))
            log.append(state.written[-1][1])

    def publish(self, partition: int, most: int) -> None:
        """Publish some of what the round brought, once all rows are written, and on disk."""
        state = self.partitions[partition]
        if not state.rows:
            if self.disk is not None:
                self.disk.keep(partition, state.written)
            state.written = []
            self.broker.published += state.unpublished[:most]
            del state.unpublished[:most]

    def acknowledge(self, partition: int, generation: int, lost: bool = False) -> None:
        """Commit the position once all is published; the group refuses a zombie's."""
        state = self.partitions[partition]
        if state.needed is not None and not state.rows and not state.unpublished:
            if state.generation == generation and not lost:
                self.broker.positions[partition] = state.needed
            state.needed = None
