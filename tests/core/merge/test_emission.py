"""Results of several KPIs are emitted in event-time order, and noted for their rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.evaluate.evaluator import Evaluator
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.emission import Emission, concatenated
from agent.core.merge.live_series import series_limit
from agent.core.merge.partition_state import PartitionState
from agent.core.merge.row_store import RowStore
from agent.core.merge.step import Step
from agent.core.model.kpis import Kpi
from agent.core.model.results import Emitted, WindowValue
from tests.core.evaluate.alerts import transition
from tests.core.simulated import EVENTS, START_MS, plan_of

MINUTE_MS = 60_000
RULES = f"""{EVENTS}kpis:
  visits: {{from: visit, value: count(*), by: [region], window: 1m}}
  sales: {{from: sale, value: count(*), by: [region], window: 1m}}
rules:
  few: {{kpi: visits, when: value < 1}}
  poor: {{kpi: sales, when: value < 1}}
"""


class Partition:
    """The emission of one state partition."""

    def __init__(self, folder: Path) -> None:
        plan = plan_of(RULES, folder)
        order = {name: index for index, name in enumerate(plan.kpis)}

        def make_kpi(kpi: Kpi, is_read: bool) -> BaseKpi:
            return BaseKpi(Evaluator(plan, kpi), series_limit(kpi, 1), is_read)

        self.state = PartitionState(plan, 0, 1, make_kpi)
        self.rows = RowStore(order)
        self.emission = Emission(self.state, self.rows, order)


def closed(kpi: str, minute: int, value: float = 1) -> WindowValue:
    end_ms = START_MS + minute * MINUTE_MS
    return WindowValue(kpi, ("eu",), end_ms - MINUTE_MS, end_ms, value, 1)


@pytest.fixture
def partition(tmp_path: Path) -> Partition:
    return Partition(tmp_path)


def test_windows_are_in_the_order_of_their_ends_then_of_the_kpis(partition: Partition) -> None:
    sales = Step([(closed("sales", 2), None, []), (closed("sales", 1), None, [])])
    visits = Step([(closed("visits", 1), None, []), (closed("visits", 2), None, [])])
    emitted = partition.emission.emit((), [("sales", sales), ("visits", visits)])
    assert [(w.kpi, (w.end_ms - START_MS) // MINUTE_MS) for w in emitted.windows] == [
        ("visits", 1), ("sales", 1), ("visits", 2), ("sales", 2)
    ]  # fmt: skip


def test_transitions_are_in_event_time_order_whichever_kpi_they_are_of(
    partition: Partition,
) -> None:
    few = [transition("few", at_ms, at_ms == 10, ("eu",), "visits") for at_ms in (10, 30)]
    poor = [transition("poor", 20, True, ("eu",), "sales")]
    steps = [("visits", Step(transitions=few)), ("sales", Step(transitions=poor))]
    emitted = partition.emission.emit((), steps)
    assert [(t.at_ms, t.rule) for t in emitted.transitions] == [
        (10, "few"), (20, "poor"), (30, "few")
    ]  # fmt: skip


def test_a_series_that_changed_has_an_outdated_view(partition: Partition) -> None:
    partition.emission.emit((), [("visits", Step(changed={("eu",)}))])
    assert partition.state.kpis["visits"].drain_changed_views() == {("eu",)}
    assert partition.state.kpis["sales"].drain_changed_views() == set()


def test_results_are_concatenated_in_their_order_and_their_counts_add_up() -> None:
    first = Emitted((closed("sales", 2),), late=1, full=("sales",))
    second = Emitted((closed("sales", 1),), late=2, stale=1, full=("visits",))
    both = concatenated([first, Emitted(), second])
    assert both.windows == (*first.windows, *second.windows)
    assert (both.late, both.stale, both.full) == (3, 1, ("sales", "visits"))
    assert concatenated([Emitted(), first]) is first
    assert concatenated([]) == Emitted()
