"""Events joined with a lookup topic that grows meanwhile, through crashes at any moment."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.decode.batch import Batch
from agent.core.fold.checkpoint import Commit, Resume
from agent.core.fold.folder import Folder
from agent.core.fold.lookup_steps import MOST_CHARACTERS, LookupSteps
from agent.core.fold.lookup_topics import LookupTopics
from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan

RULES = """
version: 1
defaults: {lateness: 20s, idle_after: 1h}
events:
  sale:
    topic: shop
    type_field: none
    time: at
    fields: {shop: string, amount: integer}
    lookup: {zone: zones.zone}
lookups:
  zones: {topic: zones, key: shop, columns: {zone: string}}
kpis:
  sales: {from: sale, value: sum(amount), by: [zone], window: 1m}
  near: {from: sale, value: count(*), where: zone = 'near', window: 1m}
"""
START_MS = 1_760_000_040_000
SHOPS, ZONES = ("a", "b"), ("near", "far", None)


class Brokers:
    """The logs, what is committed, and the merge that every worker's frames go to."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.now_ms = START_MS
        self.sales: list[tuple[int, bytes]] = []
        self.zones: list[tuple[int, bytes, bytes | None]] = []
        self.committed: Commit | None = None
        self.generation = 0
        self.joined: dict[int, tuple[str, str | None, int]] = {}
        """By offset, what the first frames that covered a sale had joined it with."""
        self._merger = Merger(plan, 0, 1)
        self._messages = 0
        self.windows: Counter[tuple[str, str | None, int]] = Counter()

    def sell(self, shop: str, at_ms: int) -> None:
        event = {"at": at_ms, "shop": shop, "amount": 1}
        self.sales.append((self.now_ms, msgspec.json.encode(event)))

    def place(self, shop: str, zone: str | None) -> None:
        value = None if zone is None else msgspec.json.encode({"zone": zone})
        self.zones.append((self.now_ms, shop.encode(), value))

    def send(self, frames: list[tuple[int, bytes]]) -> None:
        for _, data in frames:
            emitted = [self._merger.apply(data, self._messages)]
            while self._merger.is_behind:
                emitted.append(self._merger.catch_up())
            self._messages += 1
            for window in (w for e in emitted for w in e.windows if w.events):
                self._note(window)
        self._merger.mark_durable()

    def finish(self) -> None:
        for of_kpi in self._merger.state.open_windows().values():
            for window in of_kpi:
                if window.events:
                    self._note(window)

    def _note(self, window: object) -> None:
        if window.kpi == "sales":  # type: ignore[attr-defined]
            zone = window.dimensions[0]  # type: ignore[attr-defined]
            key = "sales", zone, window.start_ms  # type: ignore[attr-defined]
            self.windows[key] += int(window.value)  # type: ignore[attr-defined]


class Worker:
    """A worker, from what is committed when it starts."""

    def __init__(self, brokers: Brokers) -> None:
        self.brokers = brokers
        brokers.generation += 1
        self.generation = brokers.generation
        self.lookups = LookupTopics(brokers.plan.lookups)
        self.folder = Folder(brokers.plan, "shop", 1, lookups=self.lookups)
        self.folder.observe(self._see)
        self._seen: dict[int, tuple[str, str | None, int]] = {}
        at = brokers.committed
        resume = Resume(0, 0, None, None) if at is None else Resume.parse(at.offset, at.metadata)
        self.folder.assign(0, resume)
        self._next, self._next_zone = resume.offset, 0
        self._has_failed = False

    def read(self, most: int) -> None:
        sales = self.brokers.sales[self._next : self._next + most]
        if not sales:
            return
        batch = batch_of("shop", self._next, [t for t, _ in sales], [v for _, v in sales])
        self._next += len(sales)
        self._catch_up()
        self.folder.add(batch)

    def flush(self, steps: int) -> None:
        """Send, and die before or after a step of it: 0 before all, 3 after all.

        A worker whose early commit failed never sends again (`IngestStage._deliver` raises).
        """
        if self._has_failed:
            return
        frames = self.folder.flush(self.brokers.now_ms, {}, 1)
        early_commits, commits = self.folder.early_commits(), self.folder.commits()
        is_member = self.generation == self.brokers.generation
        if steps < 1 or (early_commits and not is_member):
            self._has_failed = bool(early_commits)
            return
        if early_commits:
            self.brokers.committed = early_commits[0]
        if steps < 2:
            return
        for offset, sale in self._seen.items():
            # Nobody joins it otherwise again, neither who reads it once more nor a zombie.
            assert self.brokers.joined.setdefault(offset, sale) == sale
        self.brokers.send(frames)
        if steps > 2 and is_member and commits:
            self.brokers.committed = commits[0]

    def _catch_up(self) -> None:
        zones = self.brokers.zones[self._next_zone :]
        if zones:
            times, keys, values = zip(*zones, strict=True)
            self.lookups.add(batch_of("zones", self._next_zone, times, values, keys))
            self._next_zone += len(zones)
        self.lookups.advance({("zones", 0): self._next_zone})

    def _see(self, _contract: str, rows: pl.DataFrame) -> None:
        for row in rows.select("_offset", "_time", "shop", "zone").iter_rows():
            minute = row[1] - (row[1] - START_MS) % 60_000
            self._seen[row[0]] = (row[2], row[3], minute)


def batch_of(topic, first, times, values, keys=()) -> Batch:  # type: ignore[no-untyped-def]
    count = len(values)
    return Batch(
        topic,
        list(values),
        np.zeros(count, np.int32),
        np.arange(first, first + count, dtype=np.int64),
        np.array(times, np.int64),
        keys=list(keys),
    )


SELL = st.tuples(st.just("sell"), st.sampled_from(SHOPS), st.sampled_from([-40, -25, -1, 0, 0, 0]))
PLACE = st.tuples(st.just("place"), st.sampled_from(SHOPS), st.sampled_from(ZONES))
READ = st.tuples(st.just("read"), st.integers(1, 9), st.booleans())
FLUSH = st.tuples(st.just("flush"), st.integers(0, 3), st.booleans())
WAIT = st.tuples(st.just("wait"), st.sampled_from([1, 5, 70]), st.just(0))
ZOMBIE = st.tuples(st.just("zombie"), st.integers(1, 3), st.integers(0, 3))


@given(st.lists(st.one_of(SELL, SELL, PLACE, READ, FLUSH, WAIT, ZOMBIE), max_size=60))
@settings(max_examples=3 * settings.default.max_examples)
@example([("sell", "a", 0), ("read", 1, 0), ("flush", 2, 0), ("place", "a", "near")])
@example(
    [
        ("sell", "a", 0),
        ("read", 1, 0),
        ("flush", 0, 1),
        ("place", "a", "near"),
        ("zombie", 1, 2),
    ]
)
@example(
    [
        ("sell", "a", 0),
        ("read", 1, 0),
        ("flush", 1, 1),
        ("sell", "a", 0),
        ("place", "a", "near"),
        ("read", 2, 0),
        ("flush", 2, 0),
        ("zombie", 2, 2),
    ]
)
def test_a_sale_whose_frames_were_sent_is_joined_alike_through_crashes_and_zombies(
    plan: Plan, steps: list[tuple[str, int, int]]
) -> None:
    brokers = Brokers(plan)
    worker, zombie = Worker(brokers), None
    for kind, first, second in steps:
        if kind == "sell":
            brokers.sell(str(first), brokers.now_ms + second * 1_000)
        elif kind == "place":
            brokers.place(str(first), second)  # type: ignore[arg-type]
        elif kind == "wait":
            brokers.now_ms += first * 1_000
        elif kind == "read":
            worker.read(first)
        elif kind == "flush":
            worker.flush(first)
            if first < 3:  # it died meanwhile, or thinks that it lives
                zombie, worker = (worker if second else None), Worker(brokers)
        elif zombie is not None:
            zombie.read(first)
            zombie.flush(second)
    worker.read(len(brokers.sales))
    worker.flush(3)
    brokers.finish()
    expected = Counter(("sales", zone, minute) for _, zone, minute in brokers.joined.values())
    assert brokers.windows == expected


POSITIONS = st.dictionaries(
    st.tuples(st.sampled_from(["rates", "a.topic_of-its-own"]), st.integers(0, 3)),
    st.integers(0, 2**40),
)


@given(st.integers(0, 2**40), st.lists(st.tuples(st.integers(0, 2**40), POSITIONS), max_size=9))
def test_the_text_of_steps_is_read_back(fixed_until: int, drawn: list) -> None:  # type: ignore[type-arg]
    known: dict[tuple[str, int], int] = {}
    steps = []
    for offset, position in sorted(drawn, key=lambda step: step[0]):
        known = known | position
        steps.append((offset, known))
    written = LookupSteps(fixed_until, steps)
    read = LookupSteps.parse(written.text())
    assert (read.fixed_until, read.steps) == ((fixed_until, steps) if steps else (0, []))


@pytest.mark.parametrize(("partitions", "most"), [(1, 4), (16, 24), (64, 200)])
def test_steps_of_rows_that_come_fast_fit_a_commit(partitions: int, most: int) -> None:
    steps, position = LookupSteps(), {("rates", p): 10**9 for p in range(partitions)}
    span_ms, waited = 400_000, 0
    for number in range(1_200):
        position = position | {("rates", number % partitions): 10**9 + number}
        steps.read(number, number + 1, position, START_MS + number * 1_000, span_ms)
        steps.forget_before(number - span_ms // 1_000)
        assert number % 9 or len(steps.text()) <= MOST_CHARACTERS
        waited = max(waited, number - steps.steps[-1][0])
    assert waited <= most  # seconds, of the 400 that a commit lies back


def test_a_topic_that_other_rules_did_not_know_is_joined_as_it_is_now() -> None:
    steps = LookupSteps.parse("7|old,rates|3 0.0+5 1.0+9|2 1.0+1")
    steps.read(3, 6, {("rates", 0): 12, ("new", 1): 4}, None, 1)
    old, newer = {("rates", 0): 9, ("new", 1): 4}, {("rates", 0): 10, ("new", 1): 4}
    assert (steps.fixed_until, steps.steps) == (7, [(3, old), (5, newer)])
