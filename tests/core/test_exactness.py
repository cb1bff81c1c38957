"""Any batching, any order of reading, any crash: the same windows, states and outcomes.

Each case is drawn from one seed, so that a failure is replayed by its seed.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.model.plan import Plan
from agent.core.model.results import Outcome
from tests.core.simulated import (
    RULES,
    START_MS,
    World,
    plan_of,
    sale,
    same,
    settle,
    settle_with_crashes,
    straight,
    visit,
)

PARTITIONS = 2
SEEDS = st.integers(0, 2**32 - 1)
QUICK = settings(
    max_examples=settings.default.max_examples // 3,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_of(RULES, tmp_path_factory.mktemp("rules"))


@pytest.fixture(scope="module")
def plan_of_topics(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The same rules, over several topics."""
    sale, visit = RULES.split("  visit:\n", 1)
    text = sale.replace("topic: shop", "topic: {pattern: 'shop|..'}") + "  visit:\n"
    text += visit.replace("topic: shop", "topic: [shop, eu, us]")
    return plan_of(text, tmp_path_factory.mktemp("rules"))


def a_log(rng: random.Random, tag: str) -> list[bytes]:
    """One partition's log: time moves on by up to half a minute a record, with disorder of up to
    five minutes (the lateness is 10 s), repeats, ids that are used again, rubbish, tombstones and
    strangers."""
    records: list[bytes] = []
    now = START_MS
    for number in range(rng.randint(0, 40)):
        now += rng.choice([0, 500, 3_000, 9_000, 31_000])
        at = now - rng.choice([0, 0, 0, 1_000, 9_000, 25_000, 70_000, 300_000])
        region = rng.choice(["eu", "us", None])
        kind = rng.choice(["sale"] * 6 + ["visit"] * 3 + ["again", "rubbish", "other", ""])
        if kind == "sale":
            amount = rng.choice([0.1, 7.25, 33.0, -4.0])
            name = number if rng.random() < 0.85 else rng.randint(0, number)
            records.append(sale(at, amount, region, f"c{rng.randint(0, 9)}", f"{tag}{name}"))
        elif kind == "visit":
            records.append(visit(at, region))
        elif kind == "again":
            records.append(rng.choice(records[-6:]) if records else b"")
        else:
            records.append({"rubbish": b"{", "other": b'{"type":"x"}', "": b""}[kind])
    return records


def some_logs(rng: random.Random) -> list[list[bytes]]:
    return [a_log(rng, tag) for tag in "ab"[:PARTITIONS]]


def check_same(world: World, expected: World) -> None:
    actual, wanted = world.windows(), expected.windows()
    assert actual.keys() == wanted.keys()
    assert all(same(actual[key], wanted[key]) for key in wanted)
    assert world.transitions() == expected.transitions()


@QUICK
@given(seed=SEEDS)
def test_any_batching_gives_the_same_windows(plan: Plan, seed: int) -> None:
    rng = random.Random(seed)
    logs = some_logs(rng)
    expected = straight(plan, logs)
    world = World(plan, logs)
    worker = world.worker()
    while any(worker.reads[p] < len(log) for p, log in enumerate(logs)):
        world.read(worker, {p: rng.randint(0, 12) for p in worker.reads})
        if rng.random() < 0.5:
            world.flush(worker)
    world.flush(worker)
    settle(world)
    check_same(world, expected)
    assert world.outcomes == expected.outcomes


@QUICK
@given(seed=SEEDS)
def test_events_over_several_topics_are_worth_what_they_are_in_one(
    plan: Plan, plan_of_topics: Plan, seed: int
) -> None:
    """However logs are shared out to topics, which match a pattern or are named."""
    rng = random.Random(seed)
    logs = [a_log(rng, tag) for tag in "abcd"]
    expected = straight(plan, logs)
    world = World(plan_of_topics, logs, topics=[rng.choice(["shop", "eu", "us"]) for _ in logs])
    workers = [world.worker([0, 1]), world.worker([2, 3])]
    while left := [w for w in workers if any(w.reads[p] < len(logs[p]) for p in w.reads)]:
        worker = rng.choice(left)
        world.read(worker, {p: rng.randint(0, 20) for p in worker.reads})
        if rng.random() < 0.5:
            world.flush(worker)
    for worker in workers:
        world.flush(worker)
    settle(world)
    check_same(world, expected)
    assert world.outcomes == expected.outcomes


@QUICK
@given(seed=SEEDS)
def test_the_outcomes_add_up_to_the_records(plan: Plan, seed: int) -> None:
    logs = some_logs(random.Random(seed))
    world = straight(plan, logs)
    assert world.outcomes.total() == sum(len(log) for log in logs)
    assert world.outcomes[Outcome.EMPTY] == sum(not record for log in logs for record in log)
    assert world.outcomes[Outcome.REJECTED] == sum(record == b"{" for log in logs for record in log)


@QUICK
@given(seed=SEEDS)
def test_a_crash_of_stage_1_anywhere_changes_nothing(plan: Plan, seed: int) -> None:
    """Workers die between reading, sending and committing; a dead one may go on as a zombie."""
    rng = random.Random(seed)
    logs = some_logs(rng)
    expected = straight(plan, logs)
    world = World(plan, logs)
    worker = world.worker()
    zombies = []
    while any(worker.reads[p] < len(log) for p, log in enumerate(logs)):
        world.read(worker, {p: rng.randint(0, 15) for p in worker.reads})
        if rng.random() < 0.5:
            commits = world.flush(worker)
            if rng.random() < 0.8:
                world.commit(commits)
        if zombies and rng.random() < 0.5:
            outcomes = world.outcomes.copy()
            world.read(zombies[-1], {p: rng.randint(0, 9) for p in zombies[-1].reads})
            world.flush(zombies.pop())
            world.outcomes = outcomes
        if rng.random() < 0.2:
            zombies.append(worker)
            worker = world.worker()
    world.flush(worker)
    settle(world)
    check_same(world, expected)


@QUICK
@given(seed=SEEDS)
def test_a_crash_of_stage_2_anywhere_changes_nothing(plan: Plan, seed: int) -> None:
    rng = random.Random(seed)
    logs = some_logs(rng)
    expected = straight(plan, logs)
    world = World(plan, logs)
    worker = world.worker()
    while any(worker.reads[p] < len(log) for p, log in enumerate(logs)):
        world.read(worker, {p: rng.randint(1, 15) for p in worker.reads})
        world.flush(worker)
    settle_with_crashes(world, rng)
    check_same(world, expected)


@QUICK
@given(seed=SEEDS)
def test_any_order_within_the_lateness_gives_the_same_values(plan: Plan, seed: int) -> None:
    """Records that overtake one another by less than the lateness count as if they had not."""
    rng = random.Random(seed)
    times = sorted(START_MS + 1_000 * rng.randint(0, 300) for _ in range(60))
    events = [(at, 1.5 * i, f"c{i % 7}", f"n{i}") for i, at in enumerate(times)]
    disordered = sorted(events, key=lambda e: e[0] + rng.randint(0, 9_999))

    def run(sales: list[tuple[int, float, str, str]]) -> World:
        log = [sale(at, amount, "eu", customer, name) for at, amount, customer, name in sales]
        end = [visit(START_MS + 3_600_000, "eu")]
        return straight(plan, [log + end, end])

    ordered, shuffled = run(events), run(disordered)
    assert len(ordered.windows()) > 20
    assert shuffled.outcomes[Outcome.LATE] == 0
    # `first` and `last` break ties of time by offset, which the order of the log decides.
    for world in (ordered, shuffled):
        world.published = [
            type(c)(tuple(w for w in c.windows if w.kpi != "ends"), c.targets, c.transitions)
            for c in world.published
        ]
    check_same(shuffled, ordered)
