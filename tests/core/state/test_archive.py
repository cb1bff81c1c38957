"""What rules look back on survives crashes: whatever part of the rows was written."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from agent.core.merge.merger import Merger
from agent.core.model.results import Emitted, Transition
from agent.core.state.rows import is_chunk
from tests.core.simulated import START_MS, World, plan_of, sale

RULES = """
version: 1
defaults: {lateness: 10s, idle_after: 30s, timezone: Pacific/Kiritimati}  # midnight is soon
events:
  sale:
    topic: shop
    time: at
    id: id
    fields: {amount: float, region: string, customer: string}
kpis:
  revenue: {from: sale, value: sum(amount), by: [region], window: 1m, target: {at_least: 60}}
rules:
  long_ago: {kpi: revenue, when: change('3h') < -50%}
  slope: {kpi: revenue, when: trend('3h') < -5% per hour}
  soon: {kpi: revenue, when: "breach_in('10m', over='2h')"}
  odd: {kpi: revenue, when: "anomaly(season='day', over='3 days') > 6", on_no_data: resolve}
  apart: {kpi: revenue, when: deviation_from_group > 4}
  due: {kpi: revenue, pace: {period: day, target: 140000}, min_history: 1h}
"""

MINUTES = 600


def world_of(folder: Path, seed: int) -> World:
    """Ten hours of five regions, of which one begins late and one has troubles."""
    rng = random.Random(seed)
    plan = plan_of(RULES, folder)
    log = []
    for minute in range(MINUTES):
        for region in range(5):
            if region == 4 and minute < 200:
                continue
            amount = rng.gauss(100, 5) - (70 if region == 1 and 300 < minute < 330 else 0)
            amount -= minute / 10 if region == 2 else 0
            at = START_MS + minute * 60_000 + rng.randrange(60_000)
            log.append((at, sale(at, round(amount, 2), f"r{region}", "c", f"{minute}-{region}")))
    log.sort()
    world = World(plan, [[event for _, event in log]], state_partitions=1)
    worker = world.worker()
    while worker.reads[0] < len(log):
        world.read(worker, {0: rng.randint(1, 12)})
        world.flush(worker)
    return world


def published(emitted: list[Emitted]) -> list[Transition]:
    """Every transition once, as consumers that drop repeats see them."""
    return list(dict.fromkeys(t for c in emitted for t in c.transitions))


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], World]:
    """The world of a seed, made once. Tests only read it."""
    return cache(lambda seed: world_of(tmp_path_factory.mktemp("rules"), seed))


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_changes_nothing_of_what_rules_look_back_on(
    worlds: Callable[[int], World], seed: int
) -> None:
    world = worlds(seed)
    whole = Merger(world.plan, 0, 1)
    expected = published([whole.apply(f, i) for i, f in enumerate(world.frames[0])])
    assert {t.rule for t in expected} >= {"long_ago", "slope", "soon", "apart", "due"}

    rng = random.Random(seed)
    rows: dict[bytes, bytes] = {}
    emitted: list[Emitted] = []
    committed = position = crashes = 0
    merger = Merger(world.plan, 0, 1)
    while position < len(world.frames[0]):
        emitted.append(merger.apply(world.frames[0][position], position))
        position += 1
        if rng.random() < 0.5:
            continue
        needed = merger.needed_position()
        dirty = merger.drain_rows()
        crash = rng.random() < 0.25
        for key, row in dirty[: rng.randint(0, len(dirty))] if crash else dirty:
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        if crash:
            crashes += 1
            merger = Merger(world.plan, 0, 1)
            merger.restore(rows.items())
            position = committed
        else:
            committed = needed
    assert crashes > 3
    assert set(published(emitted)) == set(expected)
    assert sum(is_chunk(key) for key in rows) >= 5 * (180 // 48)


def test_chunks_that_no_rule_reaches_any_more_are_deleted(
    worlds: Callable[[int], World], tmp_path: Path
) -> None:
    world = worlds(0)
    near = [line for line in RULES.splitlines() if "odd" not in line and "due" not in line]
    merger = Merger(plan_of("\n".join(near), tmp_path), 0, 1)
    rows: dict[bytes, bytes] = {}
    written = 0
    for position, frame in enumerate(world.frames[0]):
        merger.apply(frame, position)
        for key, row in merger.drain_rows():
            written += row is not None and is_chunk(key)
            rows.pop(key, None)
            if row is not None:
                rows[key] = row
    # Three hours are four chunks of 48 minutes, and a part of a fifth.
    assert written > 5 * 10
    assert sum(is_chunk(key) for key in rows) <= 5 * 5
