"""Views kept up to date step by step are the views worked out afresh."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agent.core.merge.views import Views
from agent.core.model.results import SeriesView
from tests.core.simulated import RULES, World, plan_of
from tests.core.test_exactness import some_logs


def in_order(views: list[SeriesView]) -> list[SeriesView]:
    return sorted(views, key=lambda v: (v.kpi, str(v.dimensions)))


@pytest.mark.parametrize("seed", range(6))
def test_a_view_is_renewed_whenever_what_it_shows_changed(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    plan = plan_of(RULES, tmp_path)
    world = World(plan, some_logs(rng), state_partitions=1)
    worker = world.worker()
    merger = world.merger(0)
    position = seen = 0
    while any(worker.reads[p] < len(log) for p, log in enumerate(world.logs)):
        world.read(worker, {p: rng.randint(0, 6) for p in worker.reads})
        world.flush(worker)
        while position < len(world.frames[0]):
            merger.apply(world.frames[0][position], position)
            position += 1
        kept = merger.views()
        for state in merger.state.kpis.values():
            state.changed_views = set(state.series)
        assert in_order(kept) == in_order(Views(merger.state).read())
        seen += len(kept)
    assert seen


def test_a_view_that_did_not_change_is_the_same_object(tmp_path: Path) -> None:
    plan = plan_of(RULES, tmp_path)
    world = World(plan, some_logs(random.Random(3)), state_partitions=1)
    worker = world.worker()
    world.read(worker, dict.fromkeys(worker.reads, 1000))
    world.flush(worker)
    merger = world.merger(0)
    world.apply(merger, 0, 0, len(world.frames[0]))
    first = [v for v in merger.views() if v.dimensions is not None]
    second = [v for v in merger.views() if v.dimensions is not None]
    assert first
    assert all(a is b for a, b in zip(first, second, strict=True))


def test_series_taken_on_from_their_rows_are_seen_at_once(tmp_path: Path) -> None:
    plan = plan_of(RULES, tmp_path)
    world = World(plan, some_logs(random.Random(5)), state_partitions=1)
    worker = world.worker()
    world.read(worker, dict.fromkeys(worker.reads, 1000))
    world.flush(worker)
    merger = world.merger(0)
    world.apply(merger, 0, 0, len(world.frames[0]))
    closed = {(v.kpi, v.dimensions): v.closed for v in merger.views() if v.closed is not None}
    rows = [(key, row) for key, row in merger.drain_rows() if row is not None]
    successor = world.merger(0)
    successor.restore(rows)
    assert closed
    seen = {(v.kpi, v.dimensions): v.closed for v in successor.views()}
    assert {name: seen.get(name) for name in closed} == closed
