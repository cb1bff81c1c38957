"""Empty time costs nothing, and what is seen of it is what stepping through it gives."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.evaluate.evaluator import Evaluator
from agent.core.evaluate.thresholds import OnEvaluation
from agent.core.frame import Block, decode
from agent.core.merge import frontiers
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.live_series import series_limit
from agent.core.model.plan import Plan
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


CURRENT = f"""{EVENTS}kpis:
  revenue:
    {{from: sale, value: sum(amount), by: [region], window: 10m, expire_after: 30m}}
  hourly: {{from: sale, value: sum(amount), window: 20m every 10m, expire_after: 30m}}
rules:
  soon: {{kpi: revenue, 'on': current, when: value >= 3, for: 4m, keep_firing_for: 7m}}
  poor:
    {{kpi: revenue, 'on': current, when: value < 2, clear: value > 3, for: 13m, on_no_data: alert}}
  few: {{kpi: revenue, 'on': current, when: value < 9, min_events: 2, keep_firing_for: 130s}}
  levels:
    {{kpi: hourly, 'on': current, when: {{warning: value > 1, critical: value > 4}}, for: 90s}}
  flaps: {{kpi: hourly, 'on': current, when: value > 2, flapping: 2 in 1h}}
  more: {{kpi: hourly, 'on': current, when: change('10m') > 1, for: 3m}}
maintenance:
  tea: {{kpis: [revenue], at: "{{at}}", for: 5m, every: day}}
"""
MINUTE_MS = 60_000


@cache
def current_plan(folder: Path, tea: str) -> Plan:
    return plan_of(CURRENT.replace("{at}", tea), folder)


def blocks_of(plan: Plan, events: list[tuple[int, int, str]]) -> list[Block]:
    """The partials of sales, each so many minutes after the one before."""
    at_ms, log = START_MS, []
    for number, (minutes, amount, region) in enumerate(events):
        at_ms += minutes * MINUTE_MS
        log.append(sale(at_ms + 1, float(amount), region, "c", str(number)))
    world = World(plan, [log], 1)
    worker = world.worker()
    world.read(worker, {0: len(log)})
    world.flush(worker)
    return [block for data in world.frames[0] for block in decode(data).blocks]


def advanced(
    plan: Plan, blocks: list[Block], frontiers: Iterable[int], count: OnEvaluation | None = None
) -> tuple[list[str], list[str]]:
    """The windows and the transitions of all KPIs while time moves on from frontier to frontier."""
    windows, transitions = [], []
    frontiers = list(frontiers)
    for kpi in plan.kpis.values():
        evaluator = Evaluator(plan, kpi, on_evaluation=count)
        state = BaseKpi(evaluator, series_limit(kpi, 1), is_read=False)
        for block in blocks:
            if block.kpi == kpi.name:
                state.update(block, 0, 0)
        for frontier_ms in frontiers:
            step = state.advance(frontier_ms)
            windows += [repr(window) for window, _, _ in step.closed]
            transitions += [repr(t) for _, _, steps in step.closed for t in steps]
            transitions += [repr(t) for t in step.transitions]
    return sorted(windows), sorted(transitions)


@settings(max_examples=settings.default.max_examples // 6)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 25), st.integers(0, 6), st.sampled_from("ab")), min_size=1,
        max_size=5,
    ),
    tea=st.sampled_from(["09:03", "09:20", "09:47", "10:05"]),
)  # fmt: skip
def test_rules_on_current_values_jump_over_empty_time_as_if_they_stepped_through_it(
    events: list[tuple[int, int, str]], tea: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = current_plan(tmp_path_factory.getbasetemp(), tea)
    blocks = blocks_of(plan, events)
    end_ms = START_MS + (sum(minutes for minutes, _, _ in events) + 50) * MINUTE_MS
    stepped = advanced(plan, blocks, range(START_MS, end_ms + 1, MINUTE_MS))
    assert advanced(plan, blocks, [end_ms]) == stepped
    ragged = [*range(START_MS, end_ms, 7 * MINUTE_MS + 500), end_ms]
    assert advanced(plan, blocks, ragged) == stepped


def test_rules_on_current_values_are_not_evaluated_for_each_slice_of_empty_time(
    tmp_path: Path,
) -> None:
    week = 7 * 24 * 60
    rules = CURRENT.replace("expire_after: 30m", "expire_after: 8d").replace("{at}", "03:00")
    plan = plan_of(rules, tmp_path)
    evaluations = 0

    def count(_evaluation: object) -> None:
        nonlocal evaluations
        evaluations += 1

    end_ms = START_MS + week * MINUTE_MS
    advanced(plan, blocks_of(plan, [(0, 5, "a")]), [end_ms], count)
    windows, levels, slices = week // 10, 7, 10
    assert windows * levels <= evaluations < windows * levels * slices / 2
