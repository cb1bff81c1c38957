"""Rules on current values skip empty time, with the results of stepping through it."""

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
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.live_series import series_limit
from agent.core.model.plan import Plan
from tests.core.simulated import EVENTS, START_MS, World, plan_of, sale

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
