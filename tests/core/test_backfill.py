"""A KPI that is added with `backfill` later on: its windows are those of one that was always there.

Each case is drawn from one seed: when the KPI is added, how records are batched, where either
stage crashes, which rows of an adoption a crash leaves, and when the backfill reads.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.core.backfill import Backfill, BackfillRequest
from agent.core.decode.batch import Batch
from agent.core.frame import decode
from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, WindowValue
from agent.core.placement import state_partition
from agent.core.state.rows import SOURCES_KEY, kpi_of
from tests.core.batches import batch_of
from tests.core.simulated import (
    RULES,
    START_MS,
    TOPIC,
    Worker1,
    World,
    plan_of,
    sale,
    same,
    straight,
    visit,
)
from tests.core.test_exactness import some_logs

ADDED = ("revenue", "buyers", "orders")
SEEDS = [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 60))]


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Three KPIs have a backfill; `conversion` is over one of them and one that was there."""
    text = RULES
    for name in ADDED:
        first, rest = text.split(f"  {name}: {{", 1)
        text = f"{first}  {name}: {{backfill: 30d, {rest}"
    return plan_of(text, tmp_path_factory.mktemp("after"))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The rules without them."""
    gone = (*ADDED, "conversion", "big", "quiet")
    lines = [line for line in RULES.splitlines() if line.strip().split(":")[0] not in gone]
    return plan_of("\n".join(lines), tmp_path_factory.mktemp("before"))


@dataclass
class Held:
    """A merger at work, and what it has not published yet."""

    merger: Merger
    read: int
    emitted: list[Emitted] = field(default_factory=list)


class Grown:
    """A world whose rules are replaced on the way."""

    def __init__(self, rng: random.Random, before: Plan, logs: list[list[bytes]]) -> None:
        self.rng = rng
        self.world = World(before, logs)
        self.worker: Worker1 = self.world.worker()
        self.held: list[Held] = []
        self.restart_mergers()
        self.handoffs: list[int] = []

    def reload(self, plan: Plan) -> None:
        """New rules; what was flushed is committed, as at the end of a life."""
        self.world.commit(self.world.flush(self.worker))
        for p in range(len(self.held)):
            self.settle(p)
        self.world.plan = plan
        self.worker = self.world.worker()
        self.restart_mergers()

    def restart_mergers(self) -> None:
        self.held = [
            Held(self.world.merger(p), self.world.positions[p])
            for p in range(len(self.world.frames))
        ]

    def read(self) -> None:
        rng = self.rng
        self.world.read(self.worker, {p: rng.randint(0, 8) for p in self.worker.reads})
        if rng.random() < 0.6:
            commits = self.world.flush(self.worker)
            if rng.random() < 0.8:
                self.world.commit(commits)
        if rng.random() < 0.1:
            self.worker = self.world.worker()

    def merge(self, p: int) -> None:
        """Apply some frames; then a round, which a crash may cut anywhere."""
        held, rng = self.held[p], self.rng
        stop = min(len(self.world.frames[p]), held.read + rng.randint(0, 6))
        held.emitted += self.world.apply(held.merger, p, held.read, stop)
        held.read = stop
        if rng.random() < 0.4:
            self.backfill(p)
        if rng.random() < 0.6:
            needed = held.merger.needed_position()
            rows = held.merger.drain_rows()
            written = rows if rng.random() < 0.7 else rows[: rng.randint(0, len(rows))]
            self.write(p, written)
            if len(written) < len(rows):
                self.restart(p)
                return
            if rng.random() < 0.1:
                self.restart(p)
                return
            self.world.published += held.emitted
            held.emitted = []
            self.world.positions[p] = needed
        elif rng.random() < 0.1:
            self.restart(p)

    def write(self, p: int, rows: list[tuple[bytes, bytes | None]]) -> None:
        for key, row in rows:
            if row is None:
                self.world.rows[p].pop(key, None)
            else:
                self.world.rows[p][key] = row

    def restart(self, p: int) -> None:
        self.held[p] = Held(self.world.merger(p), self.world.positions[p])

    def backfill(self, p: int) -> None:
        """Read the past of what is due, and let the merger have it."""
        merger, plan = self.held[p].merger, self.world.plan
        for due in merger.pending_backfills():
            wanted = BackfillRequest(due.kpi, None, due.handoff_ms, (p,))
            past = Backfill(plan, [wanted], due.covered, len(self.held))
            for source, stop in due.covered.items():
                at = 0
                while at < stop:
                    chunk = self.world.logs[source[1]][at : min(stop, at + self.rng.randint(1, 20))]
                    past.add(a_batch(source[1], at, chunk))
                    at += len(chunk)
                    if self.rng.random() < 0.5:
                        self.world.published.append(past.flush())
                past.end(source)
            self.world.published.append(past.flush())
            rows = past.rows()[due.kpi, p]
            assert merger.adopt(due.kpi, due.handoff_ms, due.covered, rows)
            self.handoffs.append(due.handoff_ms)

    def settle(self, p: int) -> None:
        held = self.held[p]
        for _ in range(2):  # what a backfill gives is used with the next frame
            end = len(self.world.frames[p])
            held.emitted += self.world.apply(held.merger, p, held.read, end)
            held.read = end
            self.backfill(p)
            self.world.flush(self.worker)
        needed = held.merger.needed_position()
        self.write(p, held.merger.drain_rows())
        self.world.published += held.emitted
        self.world.positions[p] = needed
        held.emitted = []


def logs_of(rng: random.Random) -> list[list[bytes]]:
    """Two logs with a quiet end, so that what was open by the end of the noise closes."""
    logs = some_logs(rng)
    for tag, log in zip("ab", logs, strict=True):
        for number in range(12):
            at = START_MS + 1_500_000 + number * 25_000
            log.append(sale(at, 7.25, rng.choice(["eu", None]), f"c{number}", f"{tag}.{number}"))
            log.append(visit(at, "eu"))
    return logs


def a_batch(source: int, offset: int, values: list[bytes]) -> Batch:
    return batch_of(TOPIC, values, source, offset)


def grown(rng: random.Random, before: Plan, after: Plan, logs: list[list[bytes]]) -> Grown:
    run = Grown(rng, before, logs)
    added_at = rng.randint(0, 6)
    step = 0
    while step <= added_at or any(run.worker.reads[p] < len(log) for p, log in enumerate(logs)):
        if step == added_at:
            run.reload(after)
        run.read()
        for p in range(len(run.held)):
            run.merge(p)
        step += 1
    run.world.commit(run.world.flush(run.worker))
    for p in range(len(run.held)):
        run.settle(p)
    return run


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kpi_added_with_a_backfill_is_as_one_that_was_always_there(
    before: Plan, after: Plan, seed: int
) -> None:
    rng = random.Random(seed)
    logs = logs_of(rng)
    expected = straight(after, logs).windows()
    run = grown(rng, before, after, logs)
    windows = run.world.windows()
    begins = max(run.handoffs, default=0)
    for (kpi, dimensions, end), value in expected.items():
        assert isinstance(dimensions, tuple)
        p = state_partition(after.kpis[kpi], dimensions, len(run.held))
        if run.held[p].merger.waiting_kpis & {kpi, *after.kpis[kpi].inputs}:
            continue
        # A KPI over one that has a backfill begins where the live flow of that one does.
        if kpi != "conversion" or end > begins:
            assert (kpi, dimensions, end) in windows
        if (kpi, dimensions, end) in windows:
            assert same(windows[kpi, dimensions, end], value), (kpi, dimensions, end)
    assert windows.keys() <= expected.keys()
    old = {t for t in run.world.transitions() if t[0] == "gone"}
    assert old == {t for t in straight(after, logs).transitions() if t[0] == "gone"}
    if run.handoffs:
        first = min(run.handoffs)
        assert all(int(str(t[5])) > first for t in run.world.transitions() - old)


def adopting(before: Plan, after: Plan) -> tuple[Grown, int, list[tuple[bytes, bytes | None]]]:
    """A run in which a merger has just adopted pasts; and the rows that it is to write."""
    rng = random.Random(1)
    run = Grown(rng, before, logs_of(rng))
    run.world.read(run.worker, dict.fromkeys(run.worker.reads, 25))
    run.reload(after)
    for _ in range(30):
        run.world.read(run.worker, dict.fromkeys(run.worker.reads, 2))
        run.world.flush(run.worker)
        for p, held in enumerate(run.held):
            run.world.apply(held.merger, p, held.read, len(run.world.frames[p]))
            held.read = len(run.world.frames[p])
            run.write(p, held.merger.drain_rows())
            run.backfill(p)
            rows = held.merger.drain_rows()
            if len(rows) > 2 * len(run.handoffs) > 0:
                return run, p, rows
    raise AssertionError("nothing was due")


def test_of_a_past_that_was_written_in_part_nothing_is_left(before: Plan, after: Plan) -> None:
    run, p, rows = adopting(before, after)
    known = dict(run.world.rows[p])
    names = [kpi_of(key) for key, _ in rows]
    assert len(names) > 2 * len(set(names))  # more than the marks
    for cut in range(len(rows) + 1):
        run.world.rows[p] = dict(known)
        run.write(p, rows[:cut])
        done = {name for i, name in enumerate(names[:cut]) if name not in names[i + 1 : len(rows)]}
        merger = run.world.merger(p)
        assert merger.waiting_kpis == set(ADDED) - done
        run.write(p, merger.drain_rows())
        left = {kpi_of(key) for key in run.world.rows[p] if key != SOURCES_KEY} & set(ADDED)
        assert left == done


def test_what_the_live_flow_brings_meanwhile_stays_readable(before: Plan, after: Plan) -> None:
    rng = random.Random(1)
    run = Grown(rng, before, logs_of(rng))
    run.world.read(run.worker, dict.fromkeys(run.worker.reads, 9))
    run.reload(after)
    for _ in range(20):
        run.world.read(run.worker, dict.fromkeys(run.worker.reads, 4))
        run.world.flush(run.worker)
    for p, held in enumerate(run.held):
        frames = run.world.frames[p]
        run.world.apply(held.merger, p, held.read, len(frames))
        first = [
            position
            for position in range(held.read, len(frames))
            if {block.kpi for block in decode(frames[position]).blocks} & set(ADDED)
        ][:1]
        assert held.merger.waiting_kpis == set(ADDED)
        assert held.merger.needed_position() <= min(first, default=len(frames))
        assert not {w.kpi for w in held.merger.views()} & {*ADDED, "conversion"}


def test_rows_of_before_are_a_past_enough(before: Plan, after: Plan, tmp_path: Path) -> None:
    text = "\n".join(RULES.splitlines())
    plain = straight(plan_of(text, tmp_path), logs_of(random.Random(3)))
    for p, rows in enumerate(plain.rows):
        merger = Merger(after, p, len(plain.rows))
        merger.restore(rows.items())
        held = {kpi_of(key) for key in rows}
        assert merger.waiting_kpis == set(ADDED) - held
        marks = [key for key, _ in merger.drain_rows()]
        assert {kpi_of(key) for key in marks} == set(ADDED) & held


WHOLE = """
version: 1
defaults: {lateness: 10s, idle_after: 30s}
events:
  sale: {topic: shop, time: at, id: id, fields: {amount: float, region: string, customer: string}}
kpis:
  income: {from: sale, value: sum(amount), by: [region], window: 2m every 30s, backfill: 1d}
  sales: {from: sale, value: count(*), window: 1m, backfill: 1d}
  kept: {from: sale, value: retention(customer), window: 2m every 1m, backfill: 1d}
rules:
  high: {kpi: income, when: value > 1}
"""


@pytest.mark.parametrize("after_ms", [0, 10_000, 60_000, 130_000])
def test_only_whole_windows_are_reported_from_the_first_one_on(
    after_ms: int, tmp_path: Path
) -> None:
    plan = plan_of(WHOLE, tmp_path)
    rng = random.Random(after_ms)
    log = [
        sale(START_MS + n * 1_000, 1.5, rng.choice("ab"), f"c{rng.randint(0, 9)}", f"s{n}")
        for n in range(900)
    ]
    from_ms, handoff_ms = START_MS + 180_000 + after_ms, START_MS + 600_000
    wanted = [BackfillRequest(name, from_ms, handoff_ms, (0,)) for name in plan.kpis]
    past = Backfill(plan, wanted, [(TOPIC, 0)], 1)
    reported: list[WindowValue] = []
    for at in range(0, len(log), 50):
        past.add(a_batch(0, at, log[at : at + 50]))
        reported += past.flush().windows
    past.end((TOPIC, 0))
    reported += past.flush().windows
    windows = {(w.kpi, w.dimensions, w.end_ms): (w.value, w.events) for w in reported}
    all_time = straight(plan, [log]).windows()
    for kpi in plan.kpis.values():
        first_ms = from_ms if kpi.name != "kept" else from_ms + 120_000
        expected = {
            key: value
            for key, value in all_time.items()
            if key[0] == kpi.name
            and kpi.window.start_of(key[2]) >= first_ms
            and key[2] <= handoff_ms
            and kpi.window.start_of(key[2]) >= first_ms
            and key[2] <= handoff_ms
        }
        mine = {key: value for key, value in windows.items() if key[0] == kpi.name}
        # Of the one that looks at the window before, the first whole one is only looked at.
        assert mine.keys() == expected.keys()
        assert all(same(mine[key], value) for key, value in expected.items()), kpi.name
    assert expected


JUMP = """
version: 1
defaults: {lateness: 10s, idle_after: 30s}
events:
  sale: {topic: shop, time: at, id: id, fields: {amount: float, region: string, customer: string}}
kpis:
  sales: {from: sale, value: count(*), window: 1m}
"""
JUMPED = """
  income: {from: sale, value: sum(amount), by: [region], window: 1m, backfill: 1d}
rules:
  jump: {kpi: income, when: change('10 minutes') > 50%}
  high: {kpi: income, when: value > 1}
  gone: {kpi: income, no_data_for: 3m}
"""


def test_rules_look_back_on_the_past_and_nobody_is_called_for_it(tmp_path: Path) -> None:
    run = Grown(random.Random(0), plan_of(JUMP, tmp_path), [[]])
    log = run.world.logs[0]

    def sell(since_s: int, until_s: int, amount: float) -> None:
        for at in range(since_s, until_s, 5):
            region = "eu" if at < 900 else "us"  # the first is gone before the KPI comes
            for place in {region, "us"}:
                log.append(sale(START_MS + at * 1_000, amount, place, "c", f"{place}{at}"))
        run.world.read(run.worker, {0: len(log)})
        run.world.commit(run.world.flush(run.worker))
        for p in range(len(run.held)):
            run.settle(p)

    sell(0, 1_200, 1.0)
    run.reload(plan_of(JUMP + JUMPED, tmp_path))
    sell(1_200, 1_230, 1.0)
    sell(1_230, 1_320, 3.0)
    sell(1_320, 1_800, 3.0)
    handoff_ms = max(run.handoffs)
    assert handoff_ms == START_MS + 1_260_000
    assert {w[2] for w in run.world.windows() if w[0] == "income"} >= {START_MS + 60_000}
    steps = {(str(t[0]), t[2], str(t[4]), int(str(t[5]))) for t in run.world.transitions()}
    first_ms = handoff_ms + 60_000
    # The first live window is compared with one of ten minutes before.
    assert {step for step in steps if step[0] == "jump"} == {("jump", ("us",), "firing", first_ms)}
    assert min(at for rule, _, _, at in steps if rule == "high") == first_ms
    # Silent since before the KPI came: counted from where the live flow takes over.
    assert ("gone", ("eu",), "firing", handoff_ms + 180_000) in steps
