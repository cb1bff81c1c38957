"""The table of `rule_graph`: alerts of KPIs, watermarks, and what is reported of rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.evaluate.rule_graph import RuleGraph
from agent.core.model.kpis import Dimensions, SeriesRef
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase
from agent.core.state.alert_state import AlertState
from agent.core.state.series import Series
from tests.core.evaluate.alerts import transition
from tests.core.simulated import EVENTS, plan_of

RULES = f"""{EVENTS}kpis:
  revenue: {{from: sale, value: sum(amount), by: [region], window: 1m}}
  visits: {{from: visit, value: count(*), by: [region], window: 1m}}
rules:
  poor: {{kpi: revenue, when: value < 1}}
  few: {{kpi: visits, when: value < 1, depends_on: [poor]}}
  crisis: {{when: poor and few}}
"""
KPIS = {"poor": "revenue", "few": "visits"}
EMEA: Dimensions = ("emea",)


class Partition:
    """What a state partition has beside the graph: series, and how far event time is settled."""

    def __init__(self, plan: Plan, rows: dict[SeriesRef, Series] | None = None) -> None:
        self.rows = rows or {}
        self.settled: dict[str, int] = {}
        self.graph = RuleGraph(plan, True, self.series_of, self.find, self.settled.get)

    def find(self, ref: SeriesRef) -> Series | None:
        owner, dimensions = ref
        composite = self.graph.composites.get(owner)
        if composite is not None and dimensions is not None:
            return composite.series.get(dimensions)
        return self.rows.get(ref)

    def series_of(self, owner: str) -> list[Series]:
        if owner in self.graph.composites:
            return list(self.graph.composites[owner].series.values())
        return [s for (o, d), s in self.rows.items() if o == owner and d is not None]

    def alert(self, rule: str, at_ms: int, firing: bool) -> list[tuple[int, str, str]]:
        """An alert of a KPI changes; what is reported at once."""
        ref: SeriesRef = (KPIS[rule], EMEA)
        row = self.rows.setdefault(ref, Series.new(KPIS[rule], "", EMEA, 0))
        phase = AlertPhase.FIRING if firing else AlertPhase.RESOLVED
        row.alerts[rule] = {"warning": AlertState(phase, at_ms)}
        step = transition(rule, at_ms, firing, EMEA, KPIS[rule])
        return [(t.at_ms, t.rule, t.state.value) for t in self.graph.route(ref, [step])]

    def advance(self, **settled_ms: int) -> list[tuple[int, str, str]]:
        """Watermarks move; what is reported."""
        self.settled.update(settled_ms)
        return [(t.at_ms, t.rule, t.state.value) for _, t in self.graph.advance().published]


TABLE: dict[str, tuple[list[tuple[str, int, bool]], list[tuple[int, str, str]]]] = {
    "an alert without a dependency that fires is reported as it is": (
        [("few", 60_000, True), ("few", 120_000, False)],
        [(60_000, "few", "firing"), (120_000, "few", "resolved")],
    ),
    "a rule that depends on another is inhibited, and so no part of a composite": (
        [("poor", 60_000, True), ("few", 120_000, True)],
        [(120_000, "few", "inhibited")],
    ),
    "a composite rule counts a rule as firing only while it is not inhibited": (
        [("few", 60_000, True), ("poor", 120_000, True)],
        [(60_000, "few", "firing"), (120_000, "few", "inhibited")],
    ),
    "after the dependency has resolved, and a whole window, it fires": (
        [("poor", 60_000, True), ("few", 120_000, True), ("poor", 150_000, False)],
        [(120_000, "few", "inhibited"), (240_000, "few", "firing")],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_is_reported_once_everything_is_settled(case: str, plan: Plan) -> None:
    alerts, expected = TABLE[case]
    by_rule = sorted(alerts, key=lambda alert: alert[0])  # each rule's own alerts stay in order
    for order in (alerts, by_rule, sorted(alerts, key=lambda alert: alert[0], reverse=True)):
        partition = Partition(plan)
        for rule, at_ms, firing in order:
            direct = partition.alert(rule, at_ms, firing)
            assert [rule for _, rule, _ in direct] == (["poor"] if rule == "poor" else [])
        assert partition.advance(revenue=600_000, visits=600_000) == expected


def test_nothing_is_reported_before_all_that_a_rule_depends_on_is_settled(plan: Plan) -> None:
    partition = Partition(plan)
    partition.alert("few", 60_000, True)
    assert partition.advance(visits=600_000) == []
    assert partition.advance(revenue=59_999) == []
    assert partition.advance(revenue=60_000) == [(60_000, "few", "firing")]


def test_a_composite_rule_is_reported_by_severity_and_shared_dimensions(tmp_path: Path) -> None:
    partition = Partition(plan_of(RULES.replace(", depends_on: [poor]", ""), tmp_path))
    partition.alert("poor", 60_000, True)
    partition.alert("few", 120_000, True)
    assert partition.advance(revenue=200_000, visits=200_000) == [(120_000, "crisis", "firing")]
    crisis = next(rule for rule in partition.graph.composites.values()).rule
    assert partition.graph.firing(crisis, EMEA) == (("poor", True), ("few", True))
    partition.alert("poor", 240_000, False)
    assert partition.advance(revenue=300_000, visits=300_000) == [(240_000, "crisis", "resolved")]


def test_a_restart_anywhere_reports_nothing_twice_and_loses_nothing(plan: Plan) -> None:
    alerts = [("poor", 60_000, True), ("few", 120_000, True), ("poor", 150_000, False)]
    expected = [(120_000, "few", "inhibited"), (240_000, "few", "firing")]
    for crash_ms in range(0, 300_001, 30_000):
        partition, transitions = Partition(plan), []
        for rule, at_ms, firing in alerts:
            partition.alert(rule, at_ms, firing)
        transitions += partition.advance(revenue=crash_ms, visits=crash_ms)
        for row in partition.rows.values():
            partition.graph.prune(row)  # as written without what came of it
        again = Partition(plan, partition.rows)
        transitions += again.advance(revenue=600_000, visits=600_000)
        assert transitions == expected, crash_ms


def test_changes_are_dropped_from_rows_once_what_came_of_them_is_written(plan: Plan) -> None:
    partition = Partition(plan)
    partition.alert("few", 60_000, True)
    [row] = partition.rows.values()
    partition.advance(revenue=600_000, visits=600_000)
    partition.graph.prune(row)
    assert row.firing_changes != []  # what came of it is in no row yet
    partition.graph.mark_durable()
    partition.graph.prune(row)
    assert row.firing_changes == []
    assert row.consumed_ms["inhibitor/few"] == 600_000
