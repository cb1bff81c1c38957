"""What the merge keeps, turns away and tells again."""

from __future__ import annotations

from pathlib import Path

import msgspec

from agent.core.frame import decode, encode
from agent.core.merge.merger import Merger
from agent.core.model.plan import OTHER
from tests.core.simulated import EVENTS, START_MS, World, plan_of, sale, visit

LIMITED = f"""{EVENTS}kpis:
  revenue: {{from: sale, value: sum(amount), by: [region], window: 1m, max_series: 2}}
"""


def world_of(folder: Path, regions: str) -> World:
    log = [
        sale(START_MS + 1_000 * i, 1.0, region, "c", f"n{i}") for i, region in enumerate(regions)
    ]
    world = World(plan_of(LIMITED, folder), [[*log, visit(START_MS + 600_000, None)]], 1)
    worker = world.worker()
    world.read(worker, {0: len(log) + 1})
    world.flush(worker)
    return world


def test_a_full_kpi_keeps_what_it_had_and_folds_the_rest_into_other(tmp_path: Path) -> None:
    world = world_of(tmp_path, "abacdcb")
    merger = world.merger(0)
    closings = world.apply(merger, 0, 0, 1)[0]
    first = {
        w.dimensions: (w.value, w.events) for w in closings.windows if w.end_ms == 60_000 + START_MS
    }
    kept = {d: n for d, n in first.items() if d != (OTHER,)}
    assert len(kept) == 2
    assert first[OTHER,][1] == 7 - sum(events for _, events in kept.values())
    assert sum(value or 0 for value, _ in first.values()) == 7.0
    assert closings.full == ("revenue", "revenue")


def test_a_frame_that_covers_less_is_passed_over_and_counted(tmp_path: Path) -> None:
    world = world_of(tmp_path, "ab")
    late_comer = World(world.plan, [world.logs[0][:1]], 1)
    worker = late_comer.worker()
    late_comer.read(worker, {0: 1})
    late_comer.flush(worker)
    merger = world.merger(0)
    told = world.apply(merger, 0, 0, 1)[0]
    again = merger.apply(late_comer.frames[0][0], 1)
    assert len(told.windows) > 0
    assert (again.windows, again.stale) == ((), 1)


def test_what_was_told_before_a_crash_is_told_again(tmp_path: Path) -> None:
    world = world_of(tmp_path, "ab")
    merger = world.merger(0)
    told = world.apply(merger, 0, 0, 1)[0]
    world.write(merger, 0)
    restarted = world.merger(0)
    again = world.apply(restarted, 0, 0, 1)[0]
    assert told.windows
    assert set(again.windows) == set(told.windows)


def test_rows_of_a_kpi_defined_otherwise_outlive_a_rolling_restart_only(tmp_path: Path) -> None:
    world = world_of(tmp_path, "ab")
    merger = world.merger(0)
    world.apply(merger, 0, 0, 1)
    world.write(merger, 0)
    assert len(world.rows[0]) == 2
    others = plan_of(LIMITED.replace("sum(amount)", "avg(amount)"), tmp_path)
    other = Merger(others, 0, 1)
    other.restore(world.rows[0].items())
    begun = decode(world.frames[0][0])
    for hours, deleted in ((0, 0), (1, 0), (1.1, 2)):
        at_ms = begun.clock_ms + int(hours * 3_600_000)
        frame = msgspec.structs.replace(begun, clock_ms=at_ms, blocks=[])
        other.apply(next(encode(frame)), 1)
        assert [row for _, row in other.dirty_rows()] == [None] * deleted
