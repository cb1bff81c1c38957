"""What the merge keeps, turns away and says again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.core.frame import decode, encode
from agent.core.merge import source_snapshots
from agent.core.merge.merger import Merger
from agent.core.model.kpis import OTHER
from agent.core.state.rows import UnknownVersion
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
    emitted = world.apply(merger, 0, 0, 1)[0]
    first = {
        w.dimensions: (w.value, w.events) for w in emitted.windows if w.end_ms == 60_000 + START_MS
    }
    kept = {d: n for d, n in first.items() if d != (OTHER,)}
    assert len(kept) == 2
    assert first[OTHER,][1] == 7 - sum(events for _, events in kept.values())
    assert sum(value or 0 for value, _ in first.values()) == 7.0
    assert emitted.full == ("revenue", "revenue")


def test_a_frame_that_covers_less_is_passed_over_and_counted(tmp_path: Path) -> None:
    world = world_of(tmp_path, "ab")
    late_comer = World(world.plan, [world.logs[0][:1]], 1)
    worker = late_comer.worker()
    late_comer.read(worker, {0: 1})
    late_comer.flush(worker)
    merger = world.merger(0)
    published = world.apply(merger, 0, 0, 1)[0]
    again = merger.apply(late_comer.frames[0][0], 1)
    assert len(published.windows) > 0
    assert (again.windows, again.stale) == ((), 1)


def test_what_was_published_before_a_crash_is_reported_again(tmp_path: Path) -> None:
    world = world_of(tmp_path, "ab")
    merger = world.merger(0)
    published = world.apply(merger, 0, 0, 1)[0]
    world.write(merger, 0)
    restarted = world.merger(0)
    again = world.apply(restarted, 0, 0, 1)[0]
    assert published.windows
    assert set(again.windows) == set(published.windows)


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
        assert [row for _, row in other.drain_rows()] == [None] * deleted


def test_a_series_larger_than_a_message_survives_a_crash_at_any_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_snapshots, "EVERY_MESSAGES", 4)  # a life has 15 frames
    rules = f"""{EVENTS}kpis:
  buyers: {{from: sale, value: count(distinct customer), by: [region], window: 10m every 10s}}
"""
    log = [
        sale(START_MS + 10_000 * step, 1.0, "a", f"{step}/{n}", f"{step}/{n}")
        for step in range(70)
        for n in range(2_500)
    ]
    log.append(visit(START_MS + 800_000, None))
    world = World(plan_of(rules, tmp_path), [log], 1)
    worker = world.worker()
    for _ in range(71):
        world.read(worker, {0: 2_500})
        world.flush(worker)
    frames = len(world.frames[0])
    whole = world.merger(0)
    wanted = {w for c in world.apply(whole, 0, 0, frames) for w in c.windows}
    windows = set()
    position, count = 0, 0
    while position < frames:
        merger = world.merger(0)
        stop = min(position + 15, frames)
        windows |= {w for c in world.apply(merger, 0, position, stop) for w in c.windows}
        needed, writes = merger.needed_position(), merger.drain_rows()
        assert all(len(row or b"") < 1_000_000 for _, row in writes)
        count += 1
        if count % 2:  # a crash after the first half of the rows
            writes, needed = writes[: len(writes) // 2], position
        for key, row in writes:
            if row is None:
                world.rows[0].pop(key, None)
            else:
                world.rows[0][key] = row
        position = max(needed, position)
        if stop == frames and not count % 2:
            break
    assert sum(map(len, world.rows[0].values())) > 1_000_000
    assert windows == wanted


def test_new_series_are_folded_into_other_when_the_rows_of_a_kpi_are_large(tmp_path: Path) -> None:
    rules = f"""{EVENTS}kpis:
  buyers:
    {{from: sale, value: count(distinct customer), by: [region], window: 1h, max_state_bytes: 9000}}
"""
    begin_ms = START_MS - 3_000_000  # early in an hour
    log = [sale(begin_ms, 1.0, "a", f"c{n}", f"a{n}") for n in range(2_000)]
    log += [visit(begin_ms + 400_000, None)]
    log += [sale(begin_ms + 400_000, 1.0, region, "c", f"b{region}") for region in "ab"]
    log += [visit(begin_ms + 7_200_000, None), sale(begin_ms + 7_200_000, 1.0, "a", "c", "end")]
    world = World(plan_of(rules, tmp_path), [log], 1)
    worker, merger = world.worker(), world.merger(0)
    emitted = []
    for position, size in enumerate((2_001, 2, 2)):
        world.read(worker, {0: size})
        world.flush(worker)
        emitted += world.apply(merger, 0, position, position + 1)
        world.write(merger, 0)
    ends = {w.dimensions for c in emitted for w in c.windows}
    assert ends == {("a",), (OTHER,)}
    assert [name for c in emitted for name in c.full] == ["buyers"]


def test_rows_of_another_version_end_the_start_and_are_left_alone(tmp_path: Path) -> None:
    world = world_of(tmp_path, "ab")
    merger = world.merger(0)
    world.apply(merger, 0, 0, 1)
    world.write(merger, 0)
    newer = {key: bytes([row[0] + 1]) + row[1:] for key, row in world.rows[0].items()}
    with pytest.raises(UnknownVersion, match="KPI revenue, series"):
        Merger(world.plan, 0, 1).restore(newer.items())
