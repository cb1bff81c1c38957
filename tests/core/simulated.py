"""The core on a simulated log: any batching, any crash, any zombie, with a virtual clock.

`World` holds what survives a crash (source logs, the frames logs, committed offsets, table rows,
what was published) and runs workers over it as a test says.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from agent.core.fold.folder import Commit, Resume
from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, Outcome
from agent.language.load import load
from tests.core.batches import LATER_MS
from tests.core.folders import Folders, Record

TOPIC = "shop"
START_MS = 1_760_000_040_000  # a whole minute, as the rules' windows are

EVENTS = """
version: 1
events:
  sale: {topic: shop, time: at, id: id, fields: {amount: float, region: string, customer: string}}
  visit: {topic: shop, time: at, fields: {region: string}}
"""
"""What `sale` and `visit` make, for rules of a test's own."""

RULES = """
version: 1
defaults: {lateness: 10s, idle_after: 30s}
events:
  sale:
    topic: shop
    time: at
    id: id
    fields: {amount: float, region: string, customer: string}
    lookup: {rate: rates.rate, zone: rates.zone}
  visit:
    topic: shop
    time: at
    fields: {region: string}
lookups:
  rates:
    file: rates.csv
    key: region
    from: valid_from
    columns: {rate: float, zone: string}
kpis:
  converted: {from: sale, value: sum(amount * rate), by: [zone], window: 1m}
  revenue: {from: sale, value: sum(amount), by: [region], window: 1m}
  spread:
    from: sale
    value: max(amount) - min(amount) + coalesce(stddev(amount), 0) + avg(amount)
    by: [region]
    window: 2m every 30s
  ends: {from: sale, value: last(amount) - first(amount), window: 1m}
  buyers: {from: sale, where: amount > 0, value: count(distinct customer), window: 10m}
  orders: {from: sale, value: count(*), by: [region], window: 1m}
  visits: {from: visit, value: count(*), by: [region], window: 1m}
  conversion: {from: [orders, visits], value: orders / visits}
rules:
  big: {kpi: revenue, when: value > 60, for: 1m, clear: value < 40}
  quiet: {kpi: orders, no_data_for: 2m}
  gone: {kpi: visits, no_data_for: 90s, per: kpi}
"""


RATES = f"""\
region,valid_from,rate,zone
eu,,1.5,near
eu,{START_MS + 45_000},1.25,far
eu,{START_MS + 150_000},,near
us,{START_MS + 20_000},2,far
"""


def plan_of(text: str, folder: Path) -> Plan:
    """The plan of one file of rules, which may look up `rates.csv`."""
    path = folder / "rules.yaml"
    (folder / "rates.csv").write_text(RATES, encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    return load(path)


def sale(at_ms: int, amount: float, region: str | None, customer: str, name: str) -> bytes:
    """A sale as a producer sends it."""
    return msgspec.json.encode(
        {
            "type": "sale",
            "at": at_ms,
            "id": name,
            "amount": amount,
            "region": region,
            "customer": customer,
        }
    )


def visit(at_ms: int, region: str | None) -> bytes:
    """A visit as a producer sends it."""
    return msgspec.json.encode({"type": "visit", "at": at_ms, "region": region})


@dataclass
class Worker1:
    """A stage-1 worker: its folders, and where it reads each source next."""

    folders: Folders
    reads: dict[int, int] = field(default_factory=dict)
    unsent: dict[int, Commit] = field(default_factory=dict)


class World:
    """What survives crashes, and the outside that sees what was published.

    `topics`: the topic of each log; of one topic, if not given.
    """

    def __init__(
        self,
        plan: Plan,
        logs: list[list[bytes]],
        state_partitions: int = 2,
        topics: Sequence[str] | None = None,
    ) -> None:
        self.plan = plan
        self.logs = logs
        topics = topics or [TOPIC] * len(logs)
        self.places = [(topic, topics[:log].count(topic)) for log, topic in enumerate(topics)]
        self.frames: list[list[bytes]] = [[] for _ in range(state_partitions)]
        self.committed: dict[int, Commit] = {}
        self.rows: list[dict[bytes, bytes]] = [{} for _ in range(state_partitions)]
        self.positions = [0] * state_partitions
        self.published: list[Emitted] = []
        self.outcomes: Counter[Outcome] = Counter()
        self.late_rows: Counter[str] = Counter()

    # stage 1

    def worker(self, partitions: Iterable[int] | None = None) -> Worker1:
        """A worker that takes on partitions where the committed offsets say."""
        worker = Worker1(Folders(self.plan, len(self.frames), self.places))
        for p in range(len(self.logs)) if partitions is None else partitions:
            commit = self.committed.get(p)
            resume = Resume.parse(commit.offset, commit.metadata) if commit else None
            worker.folders.assign(p, resume)
            worker.reads[p] = resume.offset if resume else 0
        return worker

    def read(self, worker: Worker1, sizes: dict[int, int]) -> None:
        """Let a worker read so many records of each partition, as one batch."""
        records: list[Record] = []
        for p, size in sorted(sizes.items()):
            begin = worker.reads[p]
            chunk = self.logs[p][begin : begin + size]
            records += [(p, begin + i, LATER_MS, value) for i, value in enumerate(chunk)]
            worker.reads[p] = begin + len(chunk)
        for added in worker.folders.add(records):
            for (outcome, _, _), number in added.counts.items():
                self.outcomes[outcome] += number
            self.late_rows.update(added.late_rows)

    def flush(self, worker: Worker1, idle_ms: int | None = None) -> dict[int, Commit]:
        """Let a worker send its frames; what it may commit."""
        quiet = dict.fromkeys(worker.reads, idle_ms)
        for target, message in worker.folders.flush(LATER_MS, quiet, len(self.logs)):
            self.frames[target].append(message)
        return worker.folders.commits()

    def commit(self, commits: dict[int, Commit]) -> None:
        """Commit offsets."""
        self.committed.update(commits)

    # stage 2

    def merger(self, partition: int) -> Merger:
        """A merger restored from the table, to apply frames from the committed position on."""
        merger = Merger(self.plan, partition, len(self.frames))
        merger.restore(self.rows[partition].items())
        return merger

    def apply(self, merger: Merger, partition: int, start: int, stop: int) -> list[Emitted]:
        """Apply a stretch of the frames log."""
        emitted = []
        for position in range(start, stop):
            emitted.append(merger.apply(self.frames[partition][position], position))
            while merger.is_behind:
                emitted.append(merger.catch_up())
        return emitted

    def write(self, merger: Merger, partition: int) -> None:
        """Write the rows that changed."""
        for key, row in merger.drain_rows():
            if row is None:
                self.rows[partition].pop(key, None)
            else:
                self.rows[partition][key] = row

    # what the outside sees

    def windows(self) -> dict[tuple[str, object, int], tuple[float | None, int]]:
        """Every closed window once; a repeat must say the same."""
        windows: dict[tuple[str, object, int], tuple[float | None, int]] = {}
        for emitted in self.published:
            for w in emitted.windows:
                key, value = (w.kpi, w.dimensions, w.end_ms), (w.value, w.events)
                assert same(windows.setdefault(key, value), value), (key, windows[key], value)
        return windows

    def transitions(self) -> set[tuple[object, ...]]:
        """Every transition once."""
        return {
            (t.rule, t.severity, t.dimensions, t.episode_ms, t.state.value, t.at_ms)
            for emitted in self.published
            for t in emitted.transitions
        }


def same(a: tuple[float | None, int], b: tuple[float | None, int]) -> bool:
    """Equal but for the rounding of floating-point sums in another order."""
    if a[1] != b[1] or (a[0] is None) != (b[0] is None):
        return False
    return a[0] is None or b[0] is None or abs(a[0] - b[0]) <= 1e-9 * max(1.0, abs(a[0]), abs(b[0]))


def straight(plan: Plan, logs: list[list[bytes]], topics: Sequence[str] | None = None) -> World:
    """The world after one worker read everything at once and one merger applied it."""
    world = World(plan, logs, topics=topics)
    worker = world.worker()
    world.read(worker, {p: len(log) for p, log in enumerate(logs)})
    world.flush(worker)
    settle(world)
    return world


def settle(world: World) -> None:
    """Apply the rest of every frames log, without a crash."""
    for p, frames in enumerate(world.frames):
        merger = world.merger(p)
        emitted = world.apply(merger, p, world.positions[p], len(frames))
        world.write(merger, p)
        world.published += emitted
        world.positions[p] = merger.needed_position()


def settle_with_crashes(world: World, rng: random.Random) -> None:
    """Apply every frames log, with mergers that die between applying, writing rows, publishing and
    committing."""
    for p, frames in enumerate(world.frames):
        at = 0
        merger = world.merger(p)
        while at < len(frames):
            stop = min(len(frames), at + rng.randint(1, 6))
            emitted = world.apply(merger, p, at, stop)
            at = stop
            dies = rng.choice(["no", "no", "applied", "written", "published"])
            if dies != "applied":
                world.write(merger, p)
            if dies in ("no", "published"):
                world.published += emitted
            if dies == "no":
                world.positions[p] = merger.needed_position()
            else:
                merger = world.merger(p)
                at = world.positions[p]
                if rng.random() < 0.1:
                    at = 0  # the commit itself was lost: a re-read from long ago must do no harm
        world.write(merger, p)
