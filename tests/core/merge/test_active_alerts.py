"""A merger that starts from rows knows which alerts stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.merge.merger import Merger
from agent.core.merge.views import active_alerts
from tests.core.simulated import EVENTS, START_MS, World, plan_of, sale, visit

MINUTE_MS = 60_000
KPIS = f"""{EVENTS}kpis:
  revenue: {{from: sale, value: sum(amount), by: [region], window: 1m}}
  visits: {{from: visit, value: count(*), window: 1m}}
"""
RULES = {
    "of one that fires, its phase and the value of the last window": (
        "{kpi: revenue, when: value > 60}", [("firing", START_MS + MINUTE_MS, 90.0)]
    ),
    "none that is pending": ("{kpi: revenue, when: value > 60, for: 1h}", []),
    "none that has ended": ("{kpi: revenue, when: value > 99}", []),
    "of one that depends on others, the step itself": (
        "{kpi: revenue, when: value > 60, depends_on: [empty]}",
        [("inhibited", START_MS + MINUTE_MS, 70.0)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("about", RULES)
def test_after_a_restart_an_alert_that_stands_is_known(tmp_path: Path, about: str) -> None:
    rule, expected = RULES[about]
    text = f"{KPIS}rules:\n  big: {rule}\n  empty: {{kpi: visits, when: value < 5}}\n"
    amounts = [70.0, 90.0]
    log = [sale(START_MS + i * MINUTE_MS, a, "a", "c", f"n{i}") for i, a in enumerate(amounts)]
    log += [visit(START_MS, None), visit(START_MS + 3 * MINUTE_MS - 1, None)]
    world = World(plan_of(text, tmp_path), [log], 1)
    worker = world.worker()
    world.read(worker, {0: len(log)})
    world.flush(worker)
    merger = world.merger(0)
    world.apply(merger, 0, 0, len(world.frames[0]))
    world.write(merger, 0)
    restarted = Merger(world.plan, 0, 1)
    restarted.restore(world.rows[0].items())
    steps = active_alerts(world.plan, restarted.state)
    big = [(s.state.value, s.at_ms, s.value) for s in steps if s.rule == "big"]
    assert big == expected
