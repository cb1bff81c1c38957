"""Frontiers advance in strides: empty time costs nothing, and strides change no result."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.merge import frontiers
from agent.core.model.results import Emitted
from tests.core.simulated import EVENTS, START_MS, World, plan_of, sale, visit

DAY_MS = 86_400_000


RULES = f"""{EVENTS}kpis:
  revenue: {{from: sale, value: sum(amount), by: [region], window: 1m, expire_after: 10m}}
  spread: {{from: sale, value: max(amount), window: 2m every 30s, expire_after: 5m}}
  buyers: {{from: sale, value: retention(customer), by: [region], window: 1m, expire_after: 3m}}
  visits: {{from: visit, value: count(*), by: [region], window: 1m, expire_after: 10m}}
  per_visit: {{from: [revenue, visits], value: revenue / visits}}
rules:
  low: {{kpi: revenue, when: value < 3, for: 2m, keep_firing_for: 3m}}
  now: {{kpi: revenue, 'on': current, when: value >= 3, for: 10s}}
  quiet: {{kpi: visits, no_data_for: 4m}}
  gone: {{kpi: visits, no_data_for: 5m, per: kpi}}
  falling: {{kpi: revenue, when: change('5m') < -1}}
maintenance:
  night: {{kpis: [visits], at: "03:00", for: 1h, every: day}}
"""


def emitted_of(log: list[bytes], folder: Path, batch: int, rules: str = RULES) -> list[Emitted]:
    """What a log brings that is read in batches of so many records."""
    world = World(plan_of(rules, folder), [log], 1)
    worker = world.worker()
    for _ in range(0, len(log), batch):
        world.read(worker, {0: batch})
        world.flush(worker)
    merger = world.merger(0)
    emitted = []
    for position, frame in enumerate(world.frames[0]):
        emitted.append(merger.apply(frame, position))
        while merger.is_behind:
            emitted.append(merger.catch_up())
    return emitted


def log_with_gap(gap_ms: int) -> list[bytes]:
    log = []
    for start in (START_MS - gap_ms, START_MS):
        log += [
            sale(start + 20_000 * i, float(i), "ab"[i % 2], f"c{i}", f"{start}/{i}")
            for i in range(9)
        ]
        log += [visit(start + 30_000 * i, "ab"[i % 2]) for i in range(6)]
    end = START_MS + 3_600_000
    return [*log, sale(end, 1.0, "a", "c", "end"), visit(end, "a")]


def published(emitted: list[Emitted]) -> tuple[list[object], list[object]]:
    return (
        [w for c in emitted for w in c.windows],
        [t for c in emitted for t in c.transitions],
    )


def test_a_gap_of_decades_takes_no_more_strides_than_one_of_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontiers, "STRIDE_WINDOWS", 20)
    short = emitted_of(log_with_gap(3_600_000), tmp_path, 1_000)
    long = emitted_of(log_with_gap(20 * 365 * DAY_MS), tmp_path, 1_000)
    assert 2 < len(short) <= len(long) < 2 * len(short)
    assert [len(of) for of in published(long)] == [len(of) for of in published(short)]


def test_series_that_wait_on_the_far_side_of_a_gap_change_nothing(tmp_path: Path) -> None:
    log = log_with_gap(40 * 60_000)
    assert set(published(emitted_of(log, tmp_path, len(log)))[0]) == set(
        published(emitted_of(log, tmp_path, 1))[0]
    )
    assert {repr(t) for t in published(emitted_of(log, tmp_path, len(log)))[1]} == {
        repr(t) for t in published(emitted_of(log, tmp_path, 1))[1]
    }


@pytest.mark.parametrize("stride", [20, 300])
def test_what_closes_by_and_by_is_what_closes_at_once(
    tmp_path: Path, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_with_gap(40 * 60_000)
    at_once = published(emitted_of(log, tmp_path, len(log)))
    monkeypatch.setattr(frontiers, "STRIDE_WINDOWS", stride)
    by_and_by = published(emitted_of(log, tmp_path, len(log)))
    assert by_and_by[0] == at_once[0]
    assert {repr(t) for t in by_and_by[1]} == {repr(t) for t in at_once[1]}


def test_a_crash_while_windows_close_by_and_by_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_with_gap(40 * 60_000)
    wanted = set(published(emitted_of(log, tmp_path, len(log)))[0])
    monkeypatch.setattr(frontiers, "STRIDE_WINDOWS", 4)
    world = World(plan_of(RULES, tmp_path), [log], 1)
    worker = world.worker()
    world.read(worker, {0: len(log)})
    world.flush(worker)
    windows: set[object] = set()
    crashes = 0
    while True:
        merger = world.merger(0)
        emitted = merger.apply(world.frames[0][0], 0)
        for _ in range(12):
            windows.update(emitted.windows)
            position = merger.needed_position()
            world.write(merger, 0)
            emitted = merger.catch_up()
        if not merger.is_behind:
            break
        crashes += 1
        assert position == 0
    assert crashes > 0
    assert windows >= wanted
    assert windows == wanted
