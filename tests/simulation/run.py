"""One simulated run: workers over a broker, a virtual clock, and a seeded choice at every step."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.core.merge.backfill_buffer import BEGINNING_MS
from agent.core.merge.base_kpi import BaseKpi
from agent.core.model.plan import Plan
from agent.core.model.results import Transition
from agent.core.placement import state_partition
from tests.simulation.broker import Broker, Disk
from tests.simulation.cases import Case, plan_of
from tests.simulation.history import Key
from tests.simulation.workers import SESSION_MS, IngestSide, MergeSide

MOST_WORKERS = 3
DEAD_MS = 1 << 62


@dataclass
class Worker:
    """One process. `asleep_until_ms`: stopped, not dead; `heard_ms`: its last heartbeat."""

    ingest: IngestSide
    merge: MergeSide
    heard_ms: int
    asleep_until_ms: int = 0
    is_member: bool = True


@dataclass
class Faults:
    """How likely each fault is at a step. All zero: a run in which nothing goes wrong."""

    crash: float = 0.0
    sleep: float = 0.0
    join: float = 0.0
    leave: float = 0.0
    cut: float = 0.0
    lost_commit: float = 0.0
    retention: float = 0.0  # deletes records, perhaps before they are read
    creation: float = 0.0  # of a topic that was deleted, under its name

    @classmethod
    def drawn(cls, rng: random.Random) -> Faults:
        def some(most: float) -> float:
            return rng.choice([0.0, most / 4, most])

        return cls(some(0.05), some(0.04), some(0.03), some(0.02), some(0.02), some(0.3))


@dataclass
class Run:
    """A run under way."""

    seed: int
    rng: random.Random
    case: Case
    plan: Plan
    broker: Broker
    faults: Faults
    workers: list[Worker] = field(default_factory=list)
    orphans: list[list[tuple[int, bytes]]] = field(default_factory=list)
    generation: int = 0
    rebalance: bool = True
    cut_off: dict[int, int] = field(default_factory=dict)
    disks: list[Disk] = field(default_factory=list)  # of the dead
    crashes: int = 0
    # From when on workers have new rules, and from when on all of them; 0: from the start.
    changed_ms: int = 0
    rolled_ms: int = 0
    clocks_ms: Sequence[int] = (0,)  # how far the workers' clocks are ahead of the brokers'
    is_mixed: bool = False  # workers with other rules come and go until the end
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._disk_rng = random.Random(self.seed)  # its own: the other faults stay as they are
        self._retention_rng = random.Random(f"{self.seed} retention")
        self._creation_rng = random.Random(f"{self.seed} creation")
        self._clock_rng = random.Random(f"{self.seed} clock")

    # ---- the group

    def start(self, disk: Disk | None = None) -> None:
        """A new process joins, on a disk that it is given, or that a dead one has left, or on a new
        one, or on none."""
        dice = self._disk_rng.random()
        if disk is None and self.disks and dice < 0.6:
            disk = self.disks.pop(self._disk_rng.randrange(len(self.disks)))
        elif disk is None and dice < 0.85:
            disk = Disk()
        plan = self.rules()
        worker = Worker(
            IngestSide(plan, self.broker, self.rng, self._clock_rng.choice(self.clocks_ms)),
            MergeSide(plan, self.broker, self.rng, disk),
            self.broker.now_ms,
        )
        self.workers.append(worker)
        self.rebalance = True

    def rules(self) -> Plan:
        """The rules of a process that starts now: in a rolling restart, old ones or new ones."""
        now = self.broker.now_ms
        if self.is_mixed:
            return self.plan if self._disk_rng.random() < 0.5 else self.old_rules()
        if now >= self.rolled_ms or (now >= self.changed_ms and self.rng.random() < 0.5):
            return self.plan
        return self.old_rules()

    def old_rules(self) -> Plan:
        """The rules that the run began with."""
        return plan_of(self.case, before=True)

    def roll(self) -> None:
        """End the processes with old rules, and what they have under way arrives: a worker that
        wakes up with old rules after all have rolled is more than is promised."""
        for worker in [w for w in self.workers if w.merge.plan is not self.plan]:
            for frames in (*self.orphans, worker.ingest.sending):
                for target, message in frames:
                    self.broker.frames[target].append(message)
            self.orphans.clear()
            self.workers.remove(worker)
            self.start()

    def coordinate(self) -> None:
        """Drop members that were silent for too long; share out when the members have changed."""
        for worker in self.workers:
            asleep = self.broker.now_ms < worker.asleep_until_ms
            if not asleep and worker.is_member:
                worker.heard_ms = self.broker.now_ms
        for worker in [w for w in self.workers if w.is_member]:
            if self.broker.now_ms - worker.heard_ms > SESSION_MS:
                worker.is_member = False
                self.rebalance = True
                if worker.asleep_until_ms == DEAD_MS:
                    self.workers.remove(worker)
        if self.rebalance:
            self.share_out()

    def share_out(self) -> None:
        """Give every partition to one member; the awake give back in good order first."""
        members = [w for w in self.workers if w.is_member]
        awake = [w for w in members if self.broker.now_ms >= w.asleep_until_ms]
        if len(awake) < len(members) or not awake:
            return  # the group waits for those it still believes in
        self.rebalance = False
        for worker in awake:
            if worker.ingest.reads and self.rng.random() < 0.8:
                worker.ingest.settle(self.generation)
            worker.ingest.revoke(list(worker.ingest.reads))
            worker.ingest.sending, worker.ingest.commits = [], None
        self.generation += 1
        self.rng.shuffle(awake)
        known = self.broker.partitions(self.broker.now_ms)
        for number, worker in enumerate(awake):
            worker.ingest.assign(range(number, known, len(awake)), self.generation)
            mine = range(number, self.broker.state_partitions, len(awake))
            worker.merge.assign(mine, self.generation)

    # ---- faults

    def crash(self, worker: Worker) -> None:
        """kill -9: what was under way may arrive in part, now or later, or never."""
        self.crashes += 1
        keep = self.rng.randint(0, len(worker.ingest.sending))
        self.orphans.append(worker.ingest.sending[:keep])
        if self.faults.retention:  # its frames come before its successor begins, or never
            self.arrive(self.orphans.pop())
        for p in worker.merge.partitions:
            worker.merge.write(p, self.rng.randint(0, 3))
            worker.merge.publish(p, self.rng.randint(0, 3))
        self.leave_disk(worker)
        worker.asleep_until_ms = DEAD_MS
        if not worker.is_member:
            self.workers.remove(worker)

    def leave_disk(self, worker: Worker) -> None:
        """Anybody who is started next may find it."""
        if worker.merge.disk is not None:
            self.disks.append(worker.merge.disk)
            worker.merge.disk = None

    def harm(self) -> None:
        """Draw this step's faults."""
        rng, faults, now = self.rng, self.faults, self.broker.now_ms
        for worker in self.awake():
            if rng.random() < faults.crash:
                self.crash(worker)
            elif rng.random() < faults.sleep:
                worker.ingest.sleep()
                worker.asleep_until_ms = now + rng.choice([2_000, SESSION_MS + 4_000, 60_000])
            elif rng.random() < faults.leave and len(self.awake()) > 1:
                worker.ingest.settle(self.generation)
                self.leave_disk(worker)
                self.workers.remove(worker)
                self.rebalance = True
        living = len([w for w in self.workers if w.asleep_until_ms != DEAD_MS])
        if living == 0 or (living < MOST_WORKERS and rng.random() < faults.join):
            self.start()
        if rng.random() < faults.cut:
            self.cut_off[rng.randrange(len(self.broker.history.logs))] = now + 40_000
        if self.orphans and rng.random() < 0.4:
            self.arrive(self.orphans.pop(rng.randrange(len(self.orphans))))
        if self._retention_rng.random() < faults.retention:
            self.delete_records(self._retention_rng)
        if self._creation_rng.random() < faults.creation:
            self.create_topic_again(self._creation_rng)

    def arrive(self, frames: list[tuple[int, bytes]]) -> None:
        """Frames that were under way reach the log."""
        for target, message in frames:
            self.broker.frames[target].append(message)

    def delete_records(self, rng: random.Random) -> None:
        """Retention deletes the beginning of a log, up to any of its records."""
        p = rng.randrange(len(self.broker.history.logs))
        start, end = self.broker.starts[p], self.broker.end(p, self.broker.now_ms)
        first = rng.randint(min(start, end), end)
        if p in self.broker.commits:  # before the group has begun, the log begins where it does
            self.broker.delete_before(p, first)

    def create_topic_again(self, rng: random.Random) -> None:
        """Delete a topic that the group has begun to read, and create it."""
        there = self.broker.places[: self.broker.partitions(self.broker.now_ms)]
        topic = rng.choice(sorted({topic for topic, _ in there}))
        if all(p in self.broker.commits for p, (of, _) in enumerate(there) if of == topic):
            self.broker.create_again(topic, rng)

    def awake(self) -> list[Worker]:
        return [w for w in self.workers if self.broker.now_ms >= w.asleep_until_ms]

    # ---- work

    def work(self, worker: Worker) -> None:
        """One round of a worker's loop: some of what it could do, in random portions."""
        rng = self.rng
        if not worker.is_member and rng.random() < 0.5:
            self.rejoin(worker)
            return
        side = worker.ingest
        side.tick()
        side.go_on_behind_gaps(self.generation)
        cut = frozenset(p for p, until in self.cut_off.items() if until > self.broker.now_ms)
        if rng.random() < 0.5:
            side.fetch(cut, rng.choice([2, 10, 1_000]))
        if rng.random() < 0.6:
            side.flush()
        if side.deliver(rng.choice([1, 3, 100])) and rng.random() < 0.9:
            side.commit(self.generation, rng.random() < self.faults.lost_commit)
        merge = worker.merge
        for p in merge.partitions:
            if rng.random() < 0.7:
                merge.apply(p, rng.choice([1, 5, 100]))
            if self.broker.now_ms > self.rolled_ms and rng.random() < 0.3:
                merge.backfill(p)
            merge.write(p, rng.choice([0, 1, 3, 100]))
            merge.publish(p, rng.choice([0, 1, 100]))
            merge.acknowledge(p, self.generation, rng.random() < self.faults.lost_commit)

    def rejoin(self, worker: Worker) -> None:
        """A zombie learns what it is and begins a new life."""
        self.orphans.append(worker.ingest.sending)
        self.workers.remove(worker)
        self.start(worker.merge.disk)

    def step(self) -> None:
        """Let some time pass, with faults, and everybody work."""
        known = self.broker.partitions(self.broker.now_ms)
        before = self.broker.now_ms
        self.broker.now_ms += self.rng.choice([300, 800, 1_500, 2_500])
        self.broker.now_ms = min(self.broker.now_ms, self.broker.history.end_ms)
        for worker in self.workers:
            if self._clock_rng.random() < 0.02:
                worker.ingest.ahead_ms = self._clock_rng.choice(self.clocks_ms)
        if before < self.rolled_ms <= self.broker.now_ms:
            self.roll()
        if self.broker.partitions(self.broker.now_ms) != known:
            self.rebalance = True
        self.harm()
        self.coordinate()
        for worker in self.awake():
            self.work(worker)

    def finish(self) -> None:
        """Time stands still, faults end, and the work is done to its end."""
        for frames in self.orphans:
            self.arrive(frames)
        self.workers.clear()
        self.start()
        self.share_out()
        worker = self.workers[0]
        worker.ingest.tick()
        worker.ingest.fetch(frozenset())
        worker.ingest.settle(self.generation)
        self.settle(worker)
        if self.case.before is not None:
            for p in worker.merge.partitions:
                worker.merge.backfill(p)  # reads what is due
                worker.merge.backfill(p)  # adopts it
            worker.ingest.settle(self.generation)
            self.settle(worker)

    def settle(self, worker: Worker) -> None:
        """Do all that stage 2 has to do."""
        for p in worker.merge.partitions:
            worker.merge.apply(p, 1_000_000)
            worker.merge.write(p, 1_000_000)
            worker.merge.publish(p, 1_000_000)
            worker.merge.acknowledge(p, self.generation)

    def waits(self, key: Key) -> bool:
        """Whether a window's KPI waits for its past at the end, where its series lives."""
        kpi = self.plan.kpis[key[0]]
        place = state_partition(kpi, key[1], self.broker.state_partitions)
        state = self.workers[0].merge.partitions[place]
        return kpi.name in state.merger.waiting_kpis

    def is_open(self, key: Key) -> bool:
        """Whether event time has not passed a window, at the end, where its series lives: the last
        word of a source was deleted."""
        words = json.dumps(self.broker.history.end_ms).encode()
        if not any(words in record.value for record in self.broker.gone):
            return False
        name, dimensions, end_ms = key
        kpi = self.plan.kpis[name]
        place = state_partition(kpi, dimensions, self.broker.state_partitions)
        kpis = self.workers[0].merge.partitions[place].merger.state.kpis
        bases = [kpis[base.name] for base in self.plan.bases_under(name)]
        frontiers = [base.frontier_ms for base in bases if isinstance(base, BaseKpi)]
        return any(at is None or at < end_ms for at in frontiers)

    def handoff_ms(self, alert: Transition) -> int:
        """Up to where the past of an alert's KPI was adopted where its series lives."""
        kpi = self.plan.kpis[alert.kpi]
        partition = state_partition(kpi, alert.dimensions, self.broker.state_partitions)
        return self.broker.handoffs.get((alert.kpi, partition), BEGINNING_MS)

    def unsettled_rules(self) -> set[str]:
        """The rules whose alerts depend on when what was overtaken comes."""
        return self.plan.rules.keys() - self.case.settled_rules if self.case.rests else set()

    def added(self) -> set[str]:
        """The rules that the run did not begin with, and those of KPIs that are redefined."""
        added = self.plan.rules.keys() - self.old_rules().rules.keys()
        return added | {r.name for r in self.plan.rules.values() if r.kpi in self.case.redefined}
