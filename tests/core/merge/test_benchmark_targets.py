"""Targets that are other KPIs: a window is evaluated once all benchmarks have closed the same one.

`sales` should be at least `plan`. Values and the minutes up to which a KPI has closed are set by
hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.evaluate.evaluator import Evaluator
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.benchmark_targets import BenchmarkTargets
from agent.core.merge.live_series import series_limit
from agent.core.model.results import WindowValue
from agent.core.state.series import Series
from tests.core.simulated import EVENTS, START_MS, plan_of

MINUTE_MS = 60_000
RULES = f"""{EVENTS}kpis:
  goal: {{from: visit, value: count(*), by: [region], window: 1m}}
  sales: {{from: sale, value: count(*), by: [region], window: 1m, target: {{at_least: kpi(goal)}}}}
"""


class Pair:
    """A KPI, its benchmark, and the series `eu` of both."""

    def __init__(self, folder: Path) -> None:
        plan = plan_of(RULES, folder)
        self.kpis = {
            name: BaseKpi(Evaluator(plan, kpi), series_limit(kpi, 1), is_read=name == "goal")
            for name, kpi in plan.kpis.items()
        }
        self.series = {}
        for name, state in self.kpis.items():
            series = Series.new(name, state.kpi.fingerprint, ("eu",), START_MS)
            self.series[name] = series
            state.restore(series)
        self.targets = BenchmarkTargets(plan, self.kpis["sales"], {"goal": self.kpis["goal"]})

    def close(self, name: str, minute: int, value: float) -> None:
        """A KPI closes its window that ends at a minute."""
        end_ms = START_MS + minute * MINUTE_MS
        state, series = self.kpis[name], self.series[name]
        window = WindowValue(name, ("eu",), end_ms - MINUTE_MS, end_ms, value, 1)
        state.evaluator.close_windows([(series, window)])
        if name == "goal":
            series.keep(end_ms, value, 1)
        state.continue_from(end_ms)

    def advance(self) -> list[tuple[float | None, str, float | None]]:
        """The windows that are evaluated: value, target state, and the target's bound."""
        return [
            (window.value, status.state.value, status.target.at_least)
            for window, status, _ in self.targets.advance().closed
            if status is not None
        ]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


@pytest.mark.parametrize("order", [("sales", "goal"), ("goal", "sales")])
def test_a_window_is_evaluated_once_both_have_closed_it(pair: Pair, order: tuple[str, str]) -> None:
    values = {"sales": 3.0, "goal": 5.0}
    pair.close(order[0], 1, values[order[0]])
    assert pair.advance() == []
    assert pair.targets.frontier_ms is None
    pair.close(order[1], 1, values[order[1]])
    assert pair.advance() == [(3.0, "missed", 5.0)]
    assert pair.targets.frontier_ms == START_MS + MINUTE_MS
    assert pair.advance() == []


def test_windows_wait_for_the_slower_kpi_and_come_in_order(pair: Pair) -> None:
    for minute in (1, 2, 3):
        pair.close("sales", minute, 10.0 * minute)
    pair.close("goal", 1, 10)
    pair.close("goal", 2, 25)
    assert pair.advance() == [(10.0, "met", 10.0), (20.0, "missed", 25.0)]
    pair.close("goal", 3, 30)
    assert pair.advance() == [(30.0, "met", 30.0)]


def test_without_a_value_of_the_benchmark_there_is_no_target_state(pair: Pair) -> None:
    pair.kpis["goal"].continue_from(START_MS + MINUTE_MS)
    pair.close("sales", 1, 3)
    assert pair.advance() == [(3.0, "no_data", None)]


def test_windows_of_benchmarks_are_needed_until_rows_have_the_evaluation(pair: Pair) -> None:
    pair.close("goal", 1, 5)
    pair.close("sales", 1, 5)
    pair.advance()
    assert pair.targets.consumed_ms is None
    pair.targets.mark_durable()
    assert pair.targets.consumed_ms == START_MS + MINUTE_MS
